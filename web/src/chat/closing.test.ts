import { expect, it } from 'vitest';
import { isClosed } from './closing.ts';
import { NOW } from './made-up-lines.ts';

it.each([
  ['is on', null, false],
  ['has just ended', NOW - 1_000, false],
  ['ended ten minutes ago', NOW - 600_001, true],
])('the room of a broadcast that %s', (_, endedAt, closed) => {
  expect(isClosed(endedAt === null ? null : new Date(endedAt).toISOString(), NOW)).toBe(closed);
});
