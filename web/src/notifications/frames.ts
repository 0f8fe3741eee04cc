import type { Notification } from '../api/notifications.ts';

/** What goes over `/ws/notifications` (docs/realtime.md), read once at the edge. */
export type NewsFrame =
  | { event: 'ack'; id: string; code: string | null }
  | { event: 'notification'; notification: Notification }
  /** What nobody here listens to, or a newer server says. */
  | { event: 'other' };

export function readNews(text: string): NewsFrame {
  const frame = asRecord(parseJson(text));
  const data = asRecord(frame?.['data']);
  switch (frame?.['event']) {
    case 'ack':
      return {
        event: 'ack',
        id: String(frame['id'] ?? ''),
        code: data?.['ok'] === true ? null : String(data?.['code'] ?? 'unknown'),
      };
    case 'notification': {
      const user = asRecord(data?.['user']);
      if (typeof data?.['id'] !== 'string' || typeof user?.['username'] !== 'string')
        return { event: 'other' };
      return { event: 'notification', notification: data as unknown as Notification };
    }
    default:
      return { event: 'other' };
  }
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
