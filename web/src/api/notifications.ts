import { atLeast, PAGE } from './pages.ts';
import type { Page, Session } from './session.ts';
import type { Streamer } from './streams.ts';

/** Something that somebody is told: that a person whom they follow is live, or that a person follows or supports them. */
export interface Notification {
  id: string;
  /** `stream_started`, `new_follower` or `new_subscriber`; a newer server may have others. */
  type: string;
  user: Streamer;
  streamId: string | null;
  title: string | null;
  createdAt: string;
  read: boolean;
}

/** What somebody wants to be told. */
export interface Preferences {
  streamStarted: boolean;
  newFollower: boolean;
}

const AT = '/api/notifications';

export const notifications = (session: Session, count = PAGE): Promise<Page<Notification>> =>
  atLeast(session, AT, count, ({ id }: Notification) => id);

export const unreadNotifications = (session: Session): Promise<{ count: number }> =>
  session.request(`${AT}/unread`);

/** Up to this one and all before it; answers with how many are left. */
export const markRead = (session: Session, until: string): Promise<{ count: number }> =>
  session.request(AT, { method: 'PATCH', body: { read: true, until } });

export const preferences = (session: Session): Promise<Preferences> => session.request(`${AT}/preferences`);

export const savePreferences = (session: Session, wanted: Preferences): Promise<Preferences> =>
  session.request(`${AT}/preferences`, { method: 'PUT', body: wanted });
