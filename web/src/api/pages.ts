import type { Page, Session } from './session.ts';

/**
 * At least `count` entries of a list, if there are as many, in the api's order. A refresh asks for everything that is
 * shown, so that what is gone disappears from every page. Entries that overtake each other between two requests are
 * listed once.
 */
export async function atLeast<T>(
  session: Session,
  path: string,
  count: number,
  keyOf: (entry: T) => string,
): Promise<Page<T>> {
  const found = new Map<string, T>();
  const limit = Math.min(Math.max(count, PAGE), LARGEST_PAGE);
  let next: string | null = `${path}${path.includes('?') ? '&' : '?'}limit=${limit}`;
  for (let pages = 0; next !== null && found.size < count; pages += 1) {
    if (pages === MOST_PAGES) return { items: [...found.values()], next: null };
    const page: Page<T> = await session.page(next);
    for (const entry of page.items) if (!found.has(keyOf(entry))) found.set(keyOf(entry), entry);
    next = page.next;
  }
  return { items: [...found.values()], next };
}

/** Entries that a list shows at first, and how many more each time. */
export const PAGE = 20;
/** The api's own limit. */
const LARGEST_PAGE = 100;
/** Nobody reads a list of a thousand entries; a refresh must not eat up the visitor's requests. */
const MOST_PAGES = 10;
