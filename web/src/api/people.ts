import { atLeast, PAGE } from './pages.ts';
import type { Account, Page, Session } from './session.ts';
import type { Streamer } from './streams.ts';

/** What everybody may know of a person. */
export interface Profile extends Streamer {
  bio: string | null;
  createdAt: string;
  isStreaming: boolean;
  /** The live stream. */
  streamId: string | null;
  followers: number;
  following: number;
  /** `null` when nobody is logged in. */
  isFollowing: boolean | null;
  isBlocked: boolean | null;
}

/** What somebody says about themselves, and can change. */
export interface OwnProfile extends Account {
  displayName: string | null;
  bio: string | null;
  emailVerified?: boolean;
}

export interface ProfileFields {
  displayName: string | null;
  bio: string | null;
}

export interface Blocked {
  user: Streamer;
  blockedAt: string;
}

const at = (id: string) => `/api/users/${encodeURIComponent(id)}`;

/** 404 when there is no such person, or no longer. */
export const profile = (session: Session, id: string): Promise<Profile> => session.request(at(id));

export const profileByName = (session: Session, username: string): Promise<Profile> =>
  session.request(`/api/users/@${encodeURIComponent(username)}`);

export const ownProfile = (session: Session): Promise<OwnProfile> => session.request('/api/users/me');

export const saveProfile = (session: Session, fields: ProfileFields): Promise<OwnProfile> =>
  session.request('/api/users/me', { method: 'PATCH', body: fields });

export const setAvatar = (session: Session, picture: Blob): Promise<OwnProfile> =>
  session.request('/api/users/me/avatar', { method: 'PUT', body: picture });

export const removeAvatar = (session: Session): Promise<void> =>
  session.request('/api/users/me/avatar', { method: 'DELETE' });

/** Follows or unfollows; asking for what is so already is no error. */
export const setFollowing = (session: Session, id: string, wanted: boolean): Promise<void> =>
  session.request(`${at(id)}/follow`, { method: wanted ? 'POST' : 'DELETE' });

/** Blocks or unblocks. A block ends a follow in either direction. */
export const setBlocked = (session: Session, id: string, wanted: boolean): Promise<void> =>
  session.request(`/api/users/me/blocks/${encodeURIComponent(id)}`, { method: wanted ? 'PUT' : 'DELETE' });

export const blockedPeople = (session: Session, count = PAGE): Promise<Page<Blocked>> =>
  atLeast(session, '/api/users/me/blocks', count, ({ user }: Blocked) => user.id);
