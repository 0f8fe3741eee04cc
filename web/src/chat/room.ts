import type { ChatSettings } from '../api/moderation.ts';
import type { Category } from '../api/streams.ts';
import { tidy } from './draft.ts';
import type { Line, Position, ServerFrame } from './frames.ts';
import type { Role } from './standing.ts';

/** A message of mine that the server has not answered. */
export interface Pending {
  clientMsgId: string;
  message: string;
  replyTo: string | null;
  /** Milliseconds since 1970: when Enter was pressed. */
  since: number;
}

/** Somebody was banned, or may talk again, or was made a moderator, or is none any more; for who keeps order. */
export interface Note extends Position {
  kind: 'banned' | 'unbanned' | 'appointed' | 'dismissed';
  userId: string;
  username: string;
  /** `null`: for good. */
  durationSeconds: number | null;
}

/** Somebody subscribes to the channel, or goes on to; for everybody. */
export interface Thanks extends Position {
  kind: 'subscribed';
  user: { username: string; displayName: string | null };
  tier: string;
  /** With this one. */
  months: number;
}

/** A room as one viewer knows it. */
export interface Room {
  /** Everything up to here is known; where a connection that comes back goes on. `null` before the first entry. */
  readonly position: Position | null;
  /** The offset at which the room stood when it was entered; events up to there are still on their way. */
  readonly target: number;
  /** Offsets beyond `position` of my own messages: their answers overtake what others said just before. */
  readonly ahead: readonly number[];
  /** By position, the oldest first. */
  readonly lines: readonly Line[];
  readonly pending: readonly Pending[];
  /** Ids of messages that were taken away a moment ago; a page of history may have been read before that. */
  readonly removed: readonly string[];
  readonly viewers: number | null;
  /** `null` while that is not known. */
  readonly settings: ChatSettings | null;
  /** The latest, the oldest first: what those who were banned said before that is nobody's to read. */
  readonly notes: readonly Note[];
  /** The latest, the oldest first. */
  readonly thanks: readonly Thanks[];
  /** What people are whose role has changed: their earlier lines do not know it. By their ids, the latest last. */
  readonly roles: ReadonlyMap<string, Role>;
  /** What the stream is called since it was renamed. */
  readonly renamed: { readonly title: string; readonly categories: readonly Category[] } | null;
  /** RFC 3339: the broadcast is over, though its room is open a little longer. */
  readonly endedAt: string | null;
}

/**
 * What a frame asks for: `replay` when events are missing, which a new connection with `since` gets; `history` when the
 * server has them no more.
 */
export type Need = 'nothing' | 'replay' | 'history';

export const EMPTY_ROOM: Room = {
  position: null,
  target: 0,
  ahead: [],
  lines: [],
  pending: [],
  removed: [],
  viewers: null,
  settings: null,
  notes: [],
  thanks: [],
  roles: new Map(),
  renamed: null,
  endedAt: null,
};

/** Takes a frame. `me` is the id of whoever is logged in. */
export function hear(room: Room, frame: ServerFrame, me: string | null): { room: Room; need: Need } {
  switch (frame.event) {
    case 'joined': {
      const { position, messages, viewerCount } = frame;
      const entered = {
        ...room,
        target: position.offset,
        viewers: viewerCount ?? room.viewers,
        settings: frame.settings ?? room.settings,
      };
      // The missing events follow as events.
      if (frame.recovered && room.position !== null) return nothing(entered);
      return nothing(withLatest({ ...entered, position, ahead: [] }, messages, position, me));
    }
    case 'new_message':
      return inOrder(room, frame.line, (next) => withLine(next, frame.line, me));
    case 'message_deleted':
      return inOrder(room, frame.position, (next) => without(next, frame.id));
    case 'user_banned':
      return inOrder(room, frame.position, (next) => {
        const after = noted(next, 'banned', frame, frame.durationSeconds);
        // Who may not talk keeps nobody's order any more.
        return next.roles.get(frame.userId) === 'moderator'
          ? withRoleOf(after, frame.userId, 'viewer')
          : after;
      });
    case 'user_unbanned':
      return inOrder(room, frame.position, (next) => noted(next, 'unbanned', frame, null));
    case 'role_changed': {
      const { userId, role } = frame;
      const kind = role === 'moderator' ? 'appointed' : 'dismissed';
      return inOrder(room, frame.position, (next) =>
        withRoleOf(noted(next, kind, frame, null), userId, role),
      );
    }
    case 'new_subscriber': {
      const { position, user, tier, months } = frame;
      const thanks: Thanks = { ...position, kind: 'subscribed', user, tier, months };
      return inOrder(room, position, (next) => ({
        ...next,
        thanks: [...next.thanks, thanks].slice(-THANKS),
      }));
    }
    case 'chat_settings':
      return inOrder(room, frame.position, (next) => ({ ...next, settings: frame.settings }));
    case 'stream_updated': {
      const { title, categories } = frame;
      return inOrder(room, frame.position, (next) => ({ ...next, renamed: { title, categories } }));
    }
    case 'stream_ended':
      return inOrder(room, frame.position, (next) => ({ ...next, endedAt: frame.endedAt }));
    case 'unknown':
      return frame.position === null ? nothing(room) : inOrder(room, frame.position, (next) => next);
    case 'resync':
      return {
        room: { ...room, position: frame.position, target: frame.position.offset, ahead: [] },
        need: 'history',
      };
    case 'viewer_count':
      return nothing({ ...room, viewers: frame.count });
    case 'ack':
    case 'error':
      return nothing(room);
  }
}

/** The server took my message: the answer stands for the event, which is not sent to whoever said it. */
export function accepted(room: Room, clientMsgId: string, line: Line | null): Room {
  const settled = dropped(room, clientMsgId);
  if (line === null) return settled;
  const { position } = settled;
  // A second try, answered with what the first became: if that is not among what is known, it has been taken away since.
  if (position !== null && comparePositions(line, position) <= 0) return settled;
  const beyond =
    position !== null && position.epoch === line.epoch && line.offset > position.offset
      ? { ...settled, ahead: [...settled.ahead, line.offset] }
      : settled;
  return advanced(insert(beyond, [line]));
}

export function pended(room: Room, pending: Pending): Room {
  return { ...room, pending: [...room.pending, pending] };
}

export function dropped(room: Room, clientMsgId: string): Room {
  return { ...room, pending: room.pending.filter((mine) => mine.clientMsgId !== clientMsgId) };
}

/** Everything up to where the room stood when it was entered has arrived. */
export function isCaughtUp(room: Room): boolean {
  return room.position !== null && room.position.offset >= room.target;
}

/**
 * Takes the latest page of the history, or the messages of an entry, which hold everything up to `until`. Older lines
 * go: between them and these some may be missing, and some may have been removed.
 */
export function withLatest(
  room: Room,
  latest: readonly Line[],
  until: Position | null,
  me: string | null,
): Room {
  const newer = room.lines.filter((line) => until !== null && comparePositions(line, until) > 0);
  const settled = latest.reduce((next, line) => settledBy(next, line, me), room);
  return insert({ ...settled, lines: newer }, latest);
}

/** Takes a page of what was said before. */
export function withOlder(room: Room, page: readonly Line[]): Room {
  const oldest = room.lines[0];
  return insert(
    room,
    oldest === undefined ? page : page.filter((line) => comparePositions(line, oldest) < 0),
  );
}

/** Takes a message away, because the server said so. */
export function without(room: Room, id: string): Room {
  return {
    ...room,
    lines: room.lines.filter((line) => line.id !== id),
    removed: [...room.removed, id].slice(-REMOVED),
  };
}

/** The last `most` lines. */
export function trimmed(room: Room, most: number): Room {
  return room.lines.length <= most ? room : { ...room, lines: room.lines.slice(-most) };
}

/** What `since` in the socket's address says. */
export const sinceOf = ({ position }: Room): string | null =>
  position === null ? null : `${position.epoch}.${position.offset}`;

export function comparePositions(one: Position, other: Position): number {
  return one.epoch - other.epoch || one.offset - other.offset;
}

function nothing(room: Room): { room: Room; need: Need } {
  return { room, need: 'nothing' };
}

function inOrder(room: Room, at: Position, apply: (room: Room) => Room): { room: Room; need: Need } {
  const { position } = room;
  if (position === null || at.epoch < position.epoch) return nothing(room);
  if (at.epoch > position.epoch) return { room, need: 'replay' };
  if (at.offset <= position.offset) return nothing(room);
  const ahead = room.ahead.includes(at.offset) ? room.ahead : [...room.ahead, at.offset];
  const next = advanced({ ...room, ahead });
  // What is out of order is sent again in order.
  if (next.position !== null && next.position.offset < at.offset) return { room, need: 'replay' };
  return nothing(apply(next));
}

/** Moves on over what came ahead. */
function advanced(room: Room): Room {
  if (room.position === null || room.ahead.length === 0) return room;
  let { offset } = room.position;
  while (room.ahead.includes(offset + 1)) offset += 1;
  return {
    ...room,
    position: { ...room.position, offset },
    ahead: room.ahead.filter((other) => other > offset),
  };
}

function withLine(room: Room, line: Line, me: string | null): Room {
  return insert(settledBy(room, line, me), [line]);
}

/**
 * The answer to my message may have been lost with a connection, and a server that started anew does not remember the
 * name that I gave it: my own words, said since, are that message.
 */
function settledBy(room: Room, line: Line, me: string | null): Room {
  if (line.user.id !== me || room.pending.length === 0) return room;
  const said = Date.parse(line.timestamp);
  const mine = room.pending.find(
    ({ message, since }) => tidy(message) === line.message && said >= since - CLOCKS_MS,
  );
  return mine === undefined ? room : dropped(room, mine.clientMsgId);
}

function noted(
  room: Room,
  kind: Note['kind'],
  { position, userId, username }: { position: Position; userId: string; username: string },
  durationSeconds: number | null,
): Room {
  const note: Note = { ...position, kind, userId, username, durationSeconds };
  const notes = [...room.notes, note].slice(-NOTES);
  return kind === 'banned'
    ? { ...room, notes, lines: room.lines.filter((line) => !isHidden(notes, line)) }
    : { ...room, notes };
}

function withRoleOf(room: Room, userId: string, role: Role): Room {
  const others = [...room.roles].filter(([id]) => id !== userId);
  return { ...room, roles: new Map([...others, [userId, role] as const].slice(-ROLES)) };
}

/** Whether its author was banned after saying it. */
function isHidden(notes: readonly Note[], line: Line): boolean {
  return notes.some(
    (note) => note.kind === 'banned' && note.userId === line.user.id && comparePositions(line, note) < 0,
  );
}

function insert(room: Room, lines: readonly Line[]): Room {
  const known = new Set(room.lines.map(({ id }) => id));
  for (const id of room.removed) known.add(id);
  const fresh = lines.filter(
    (line) => !known.has(line.id) && known.add(line.id) && !isHidden(room.notes, line),
  );
  if (fresh.length === 0) return room;
  const last = room.lines[room.lines.length - 1];
  const all = [...room.lines, ...fresh];
  const inOrderAlready =
    fresh.length === 1 && (last === undefined || comparePositions(last, all[all.length - 1] as Line) < 0);
  return { ...room, lines: inOrderAlready ? all : all.sort(comparePositions) };
}

/** As many as a page of history may hold. */
const REMOVED = 100;
/** More than anybody scrolls back to; the server leaves out itself what was said before a ban. */
const NOTES = 100;
/** Apart from the notes, so that many subscribers let nobody's ban be forgotten. */
const THANKS = 100;
/** As many as a channel has moderators. */
const ROLES = 100;
/** How far a viewer's clock may be ahead of the server's. The server refuses the same words within half a minute anyway. */
const CLOCKS_MS = 20_000;
