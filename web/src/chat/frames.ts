/** What goes over a room's WebSocket (docs/realtime.md), read once at the edge: everything behind it can trust the types. */

/** Where an event stands in its room: offsets have no gaps within an epoch, and a later epoch has a larger number. */
export interface Position {
  epoch: number;
  offset: number;
}

export interface Author {
  id: string;
  username: string;
  displayName: string | null;
  avatar: string | null;
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
    }
  | { event: 'new_message'; line: Line }
  | { event: 'message_deleted'; position: Position; id: string }
  | { event: 'resync'; position: Position }
  | { event: 'viewer_count'; count: number }
  | { event: 'ack'; id: string; refusal: Refusal | null; line: Line | null }
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
      };
    }
    case 'error':
      return { event, code: stringOf(data['code']) ?? 'unknown' };
    default:
      return { event: 'unknown', position };
  }
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
    },
    message,
    timestamp: stringOf(data['timestamp']) ?? '',
    replyTo: stringOf(data['replyTo']),
  };
}

function positionOf(data: Record<string, unknown>): Position | null {
  const epoch = numberOf(data['epoch']);
  const offset = numberOf(data['offset']);
  return epoch === null || offset === null ? null : { epoch, offset };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function asRecord(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function stringOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
