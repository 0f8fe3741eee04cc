/** What goes over a room's WebSocket (docs/realtime.md), read once at the edge: everything behind it can trust the types. */

import type { ChatSettings } from '../api/moderation.ts';
import type { Category } from '../api/streams.ts';
import { asRecord, numberOf, parseJson, stringOf } from './json-values.ts';
import { readSettings } from './settings.ts';
import { readRole, readStanding, type Role, type Standing } from './standing.ts';

/** Where an event stands in its room: offsets have no gaps within an epoch, and a later epoch has a larger number. */
export interface Position {
  epoch: number;
  offset: number;
}

export type Badge = 'owner' | 'moderator' | 'admin' | 'subscriber_premium' | 'subscriber_pro';

export interface Author {
  id: string;
  username: string;
  displayName: string | null;
  avatar: string | null;
  /** What they were when they said it. */
  badges: readonly Badge[];
}

/** One message, as everybody sees it. */
export interface Line extends Position {
  id: string;
  user: Author;
  /** Text, never markup. */
  message: string;
  /** RFC 3339. */
  timestamp: string;
  /** The id of another message. */
  replyTo: string | null;
}

export type Refusal = { code: string; detail: string; retryAfterMs: number | null };

export type ServerFrame =
  | {
      event: 'joined';
      position: Position;
      recovered: boolean;
      viewerCount: number | null;
      messages: Line[];
      /** `null` while the server does not know. */
      settings: ChatSettings | null;
    }
  | { event: 'new_message'; line: Line }
  | { event: 'message_deleted'; position: Position; id: string }
  | {
      event: 'user_banned';
      position: Position;
      userId: string;
      username: string;
      /** `null`: for good. */
      durationSeconds: number | null;
    }
  | { event: 'user_unbanned'; position: Position; userId: string; username: string }
  /** What somebody is in the room from now on. */
  | { event: 'role_changed'; position: Position; userId: string; username: string; role: Role }
  | {
      event: 'new_subscriber';
      position: Position;
      user: Pick<Author, 'id' | 'username' | 'displayName'>;
      tier: string;
      /** That they have subscribed for, with this one. */
      months: number;
    }
  | { event: 'chat_settings'; position: Position; settings: ChatSettings }
  | { event: 'stream_updated'; position: Position; title: string; categories: Category[] }
  | { event: 'stream_ended'; position: Position; endedAt: string }
  | { event: 'resync'; position: Position }
  | { event: 'viewer_count'; count: number }
  /** `standing` answers `authenticate`. */
  | { event: 'ack'; id: string; refusal: Refusal | null; line: Line | null; standing: Standing | null }
  | { event: 'error'; code: string }
  /** From a newer server. What has a position counts in the room's order all the same. */
  | { event: 'unknown'; position: Position | null };

/** `null` for what is no frame at all. */
export function readFrame(text: string): ServerFrame | null {
  const frame = asRecord(parseJson(text));
  const data = asRecord(frame?.['data']) ?? {};
  const event = frame?.['event'];
  if (frame === null || typeof event !== 'string') return null;
  const position = positionOf(data);
  const id = stringOf(data['id']);
  switch (event) {
    case 'joined':
      if (position === null) return null;
      return {
        event,
        position,
        recovered: data['recovered'] === true,
        viewerCount: numberOf(data['viewerCount']),
        messages: readLines(data['messages']),
        settings: readSettings(data['settings']),
      };
    case 'new_message': {
      const line = readLine(data);
      return line === null ? { event: 'unknown', position } : { event, line };
    }
    case 'message_deleted':
      return position === null || id === null ? { event: 'unknown', position } : { event, position, id };
    case 'resync':
      return position === null ? null : { event, position };
    case 'viewer_count': {
      const count = numberOf(data['count']);
      return count === null ? null : { event, count };
    }
    case 'ack': {
      const refusal = {
        code: stringOf(data['code']) ?? 'unknown',
        detail: stringOf(data['detail']) ?? '',
        retryAfterMs: numberOf(data['retryAfterMs']),
      };
      const ok = data['ok'] === true;
      return {
        event,
        id: String(frame['id'] ?? ''),
        refusal: ok ? null : refusal,
        line: readLine(data['message']),
        standing: readStanding(data['self']),
      };
    }
    case 'error':
      return { event, code: stringOf(data['code']) ?? 'unknown' };
    default:
      return (
        (position === null ? null : readHappening(event, data, position)) ?? { event: 'unknown', position }
      );
  }
}

/** What else happens in a room, in its order. What cannot be read counts in the order all the same. */
function readHappening(event: string, data: Record<string, unknown>, position: Position): ServerFrame | null {
  const userId = stringOf(data['userId']);
  const username = stringOf(data['username']);
  switch (event) {
    case 'user_banned': {
      const durationSeconds = numberOf(data['durationSeconds']);
      if (userId === null || username === null) return null;
      return { event, position, userId, username, durationSeconds };
    }
    case 'user_unbanned':
      return userId === null || username === null ? null : { event, position, userId, username };
    case 'role_changed': {
      const role = readRole(data['role']);
      if (userId === null || username === null || role === null) return null;
      return { event, position, userId, username, role };
    }
    case 'new_subscriber': {
      const user = asRecord(data['user']);
      const [id, name] = [stringOf(user?.['id']), stringOf(user?.['username'])];
      const tier = stringOf(data['tier']);
      if (id === null || name === null || tier === null) return null;
      const displayName = stringOf(user?.['displayName']);
      const months = numberOf(data['months']) ?? 1;
      return { event, position, user: { id, username: name, displayName }, tier, months };
    }
    case 'chat_settings': {
      const settings = readSettings(data['settings']);
      return settings === null ? null : { event, position, settings };
    }
    case 'stream_updated': {
      const title = stringOf(data['title']);
      return title === null
        ? null
        : { event, position, title, categories: readCategories(data['categories']) };
    }
    case 'stream_ended': {
      const endedAt = stringOf(data['endedAt']);
      return endedAt === null ? null : { event, position, endedAt };
    }
    default:
      return null;
  }
}

function readCategories(value: unknown): Category[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((entry: unknown) => {
    const data = asRecord(entry);
    const [id, name, slug] = [stringOf(data?.['id']), stringOf(data?.['name']), stringOf(data?.['slug'])];
    return id === null || name === null || slug === null ? [] : [{ id, name, slug }];
  });
}

/** Those of a list that are messages, in their order. */
export function readLines(value: unknown): Line[] {
  if (!Array.isArray(value)) return [];
  return value.map(readLine).filter((line) => line !== null);
}

/** What a client sends; the answer repeats `id`. */
export function writeFrame(event: string, data: Record<string, unknown>, id: string): string {
  return JSON.stringify({ event, data, id });
}

function readLine(value: unknown): Line | null {
  const data = asRecord(value);
  const user = asRecord(data?.['user']);
  if (data === null || user === null) return null;
  const position = positionOf(data);
  const id = stringOf(data['id']);
  const message = stringOf(data['message']);
  const userId = stringOf(user['id']);
  const username = stringOf(user['username']);
  if (position === null || id === null || message === null || userId === null || username === null) {
    return null;
  }
  return {
    ...position,
    id,
    user: {
      id: userId,
      username,
      displayName: stringOf(user['displayName']),
      avatar: stringOf(user['avatar']),
      badges: readBadges(user['badges']),
    },
    message,
    timestamp: stringOf(data['timestamp']) ?? '',
    replyTo: stringOf(data['replyTo']),
  };
}

function readBadges(value: unknown): Badge[] {
  return Array.isArray(value) ? BADGES.filter((badge) => value.includes(badge)) : [];
}

function positionOf(data: Record<string, unknown>): Position | null {
  const epoch = numberOf(data['epoch']);
  const offset = numberOf(data['offset']);
  return epoch === null || offset === null ? null : { epoch, offset };
}

/** In the order in which they are shown. */
const BADGES: readonly Badge[] = ['owner', 'moderator', 'admin', 'subscriber_premium', 'subscriber_pro'];
