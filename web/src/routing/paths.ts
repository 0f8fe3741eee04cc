/** Where the pages are: what `parseRoute` reads. */
import type { AdminPart } from './route.ts';

export const channelPath = (username: string) => `/@${encodeURIComponent(username)}`;
export const watchPath = (streamId: string) => `/watch/${encodeURIComponent(streamId)}`;
export const searchPath = (query: string) => `/search?${new URLSearchParams({ q: query })}`;
export const adminPath = (part: AdminPart) => (part === 'figures' ? '/admin' : `/admin/${part}`);
export const checkoutPath = (id: string) => `/checkout/${encodeURIComponent(id)}`;
/** One's own subscriptions, and what others pay for one's own channel. */
export const SUBSCRIPTIONS = '/settings/subscriptions';
export const SALES = '/studio/subscriptions';
export const loginPath = (next: string) => `/login?${new URLSearchParams({ next })}`;

export function categoryPath(slug: string, view: { language?: string | null; sort?: string } = {}): string {
  const query = new URLSearchParams();
  if (view.language) query.set('language', view.language);
  if (view.sort === 'recent') query.set('sort', view.sort);
  const chosen = query.toString();
  return `/categories/${encodeURIComponent(slug)}${chosen === '' ? '' : `?${chosen}`}`;
}
