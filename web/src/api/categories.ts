import { atLeast, PAGE } from './pages.ts';
import type { Page, Session } from './session.ts';
import type { Category } from './streams.ts';

/** A category with what is live in it. */
export interface BusyCategory extends Category {
  /** The address of a picture. */
  icon: string | null;
  liveStreams: number;
  viewers: number;
}

/** The most watched first. */
export const categories = (session: Session, count = PAGE): Promise<Page<BusyCategory>> =>
  atLeast(session, '/api/categories', count, ({ id }: BusyCategory) => id);

/** 404 when there is no such category. */
export const category = (session: Session, slug: string): Promise<BusyCategory> =>
  session.request(`/api/categories/${encodeURIComponent(slug)}`);

/** A few whose name has `text` in it; the most watched ones while the text is too short to search for. */
export function suggestedCategories(session: Session, text: string): Promise<BusyCategory[]> {
  const query = new URLSearchParams({ limit: String(SUGGESTIONS) });
  const wanted = text.trim();
  if (wanted.length >= SHORTEST_QUERY) query.set('q', wanted);
  return session.request(`/api/categories?${query}`);
}

/** The api searches for nothing shorter. */
export const SHORTEST_QUERY = 2;
/** As many as fit on a phone above its keyboard. */
const SUGGESTIONS = 8;
