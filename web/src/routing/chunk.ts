import { deadline } from '../api/deadline.ts';

/**
 * A part of the pages that is fetched when it is needed. Its name holds its hash: after an update of Caudal the parts of
 * an open page are gone, and the page is loaded anew.
 */
export async function chunk<T>(part: () => Promise<T>): Promise<T> {
  try {
    return await part();
  } catch (error) {
    if (!(await reloadOnce())) throw error;
    // The page is on its way out: whoever waits goes with it.
    return new Promise(() => undefined);
  }
}

/** Once for each build and tab, and only towards a server that answers. */
async function reloadOnce(): Promise<boolean> {
  const build = import.meta.url;
  const limit = deadline(ANSWER_MS);
  try {
    if (sessionStorage.getItem(KEY) === build) return false;
    const page = await fetch('/', {
      headers: { accept: 'text/html' },
      cache: 'no-cache',
      signal: limit.signal,
    });
    if (!page.ok) return false;
    sessionStorage.setItem(KEY, build);
  } catch {
    return false;
  } finally {
    limit.met();
  }
  location.reload();
  return true;
}

const KEY = 'caudal.reloaded';
const ANSWER_MS = 5_000;
