import type { Page } from './browser.ts';

/** What a page is told in the server's place. */
export interface Answer {
  status: number;
  body: unknown;
}

/** Answers requests of `page` in the server's place; those for which `answer` gives nothing go through. */
export async function answerFor(page: Page, answer: (path: string, method: string) => Answer | undefined): Promise<void> {
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const given = answer(new URL(request.url()).pathname, request.method());
    void (given
      ? request.respond({
          status: given.status,
          contentType: given.status < 400 ? 'application/json' : 'application/problem+json',
          body: JSON.stringify(given.body),
        })
      : request.continue());
  });
}

/** What the api says when it refuses. */
export function refusal(status: number, code: string): Answer {
  return { status, body: { type: 'about:blank', title: 'Error', status, code, detail: 'The test says so.' } };
}

/** The api answers one path with an error, until `stop`. */
export async function answering(page: Page, at: string, status: number, code: string): Promise<{ stop: () => void }> {
  let on = true;
  await answerFor(page, (path) => (on && path === at ? refusal(status, code) : undefined));
  return { stop: () => (on = false) };
}
