import type { ChatSettings } from '../api/moderation.ts';
import type { Author, Line } from './frames.ts';

/** Made-up messages for tests. */
export const ANA: Author = { id: 'u-ana', username: 'ana', displayName: null, avatar: null, badges: [] };
export const BOB: Author = { id: 'u-bob', username: 'bob', displayName: 'Bob', avatar: null, badges: [] };
export const ANYTHING_GOES: ChatSettings = {
  slowSeconds: 0,
  followersOnlyMinutes: null,
  subsOnly: false,
  emoteOnly: false,
  uniqueOnly: false,
  links: 'allow',
};
/** Milliseconds since 1970 of everything that happens in tests. */
export const NOW = Date.parse('2026-11-30T12:00:00Z');

export function line(offset: number, change: Partial<Line> = {}): Line {
  return {
    epoch: 1,
    offset,
    id: `m${offset}`,
    user: BOB,
    message: `message ${offset}`,
    timestamp: new Date(NOW).toISOString(),
    replyTo: null,
    ...change,
  };
}

export const lines = (from: number, to: number): Line[] =>
  Array.from({ length: to - from + 1 }, (_, index) => line(from + index));
