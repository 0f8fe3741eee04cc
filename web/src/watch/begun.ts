import { deadline } from '../api/deadline.ts';

/** Asks the edge whether there is anything to watch at `streamUrl` yet. Without a usable answer, `false`. */
export async function hasBegun(streamUrl: string): Promise<boolean> {
  const limit = deadline(ANSWER_MS);
  try {
    const answer = await fetch(new URL('begun', new URL(streamUrl, location.href)), {
      cache: 'no-store',
      signal: limit.signal,
    });
    return answer.ok && (await answer.json()) === true;
  } catch {
    return false;
  } finally {
    limit.met();
  }
}

const ANSWER_MS = 5_000;
