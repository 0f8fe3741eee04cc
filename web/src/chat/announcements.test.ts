import { expect, it } from 'vitest';
import { isTooFastToHear } from './announcements.ts';
import { line, NOW } from './made-up-lines.ts';

it.each([
  ['an empty room', 0, 0, false],
  ['five lines at once', 5, 0, false],
  ['six lines at once', 6, 0, true],
  ['a line each second', 20, 1_000, true],
  ['a line each three seconds', 20, 3_000, false],
])('%s is too fast to hear: %#', (_, count, apart, expected) => {
  const lines = Array.from({ length: count }, (__, index) =>
    line(index, { timestamp: new Date(NOW - (count - 1 - index) * apart).toISOString() }),
  );
  expect(isTooFastToHear(lines, NOW)).toBe(expected);
});
