import { atLeast, PAGE } from './pages.ts';
import type { Page, Session } from './session.ts';
import type { Streamer } from './streams.ts';

/** What a channel's chat allows. */
export interface ChatSettings {
  /** Between two messages of one person; 0 is off. */
  slowSeconds: number;
  /** How long somebody must have followed to talk; `null` is off, 0 lets all followers talk. */
  followersOnlyMinutes: number | null;
  subsOnly: boolean;
  emoteOnly: boolean;
  /** Nobody repeats what anybody has said a while ago. */
  uniqueOnly: boolean;
  links: 'allow' | 'block';
}

export interface Moderator {
  user: Streamer;
  since: string;
}

export interface Ban {
  user: Streamer;
  /** `null` once that account is gone. */
  by: Streamer | null;
  reason: string | null;
  /** `null` is for good. */
  expiresAt: string | null;
  createdAt: string;
}

export interface Term {
  id: string;
  term: string;
  createdAt: string;
}

/** One line of the log. */
export interface Action {
  id: string;
  at: string;
  action: string;
  /** `null` once that account is gone. */
  by: Streamer | null;
  /** `null` where it was nobody, or that account is gone. */
  user: Streamer | null;
  detail: Record<string, unknown>;
}

const at = (streamId: string, ...parts: string[]) =>
  ['/api/chat', ...[streamId, ...parts].map(encodeURIComponent)].join('/');

export const chatSettings = (session: Session, streamId: string): Promise<ChatSettings> =>
  session.request(at(streamId, 'settings'));

/** What is absent stays as it is. */
export const changeChatSettings = (
  session: Session,
  streamId: string,
  changes: Partial<ChatSettings>,
): Promise<ChatSettings> => session.request(at(streamId, 'settings'), { method: 'PATCH', body: changes });

/** All of them: there is one page. */
export const moderators = (session: Session, streamId: string): Promise<Page<Moderator>> =>
  session.page(at(streamId, 'moderators'));

/** Makes somebody a moderator, or a viewer again; asking for what is so already is no error. */
export const setModerator = (
  session: Session,
  streamId: string,
  userId: string,
  wanted: boolean,
): Promise<void> =>
  session.request(at(streamId, 'moderators', userId), { method: wanted ? 'PUT' : 'DELETE' });

export const bans = (session: Session, streamId: string, count = PAGE): Promise<Page<Ban>> =>
  atLeast(session, at(streamId, 'bans'), count, ({ user }: Ban) => user.id);

export const unban = (session: Session, streamId: string, userId: string): Promise<void> =>
  session.request(at(streamId, 'bans', userId), { method: 'DELETE' });

/** All of them: there is one page. */
export const blockedTerms = (session: Session, streamId: string): Promise<Page<Term>> =>
  session.page(at(streamId, 'terms'));

export const blockTerm = (session: Session, streamId: string, term: string): Promise<Term> =>
  session.request(at(streamId, 'terms'), { method: 'POST', body: { term } });

export const unblockTerm = (session: Session, streamId: string, termId: string): Promise<void> =>
  session.request(at(streamId, 'terms', termId), { method: 'DELETE' });

/** The latest first. */
export const moderationLog = (session: Session, streamId: string, count = PAGE): Promise<Page<Action>> =>
  atLeast(session, at(streamId, 'modlog'), count, ({ id }: Action) => id);
