import { expect, it } from 'vitest';
import { clock, elapsed, followers, lasted, viewers } from './durations.ts';

const NOW = Date.parse('2026-01-02T12:00:00Z');

it.each([
  ['2026-01-02T11:59:30Z', 'just now', '0:30'],
  ['2026-01-02T11:48:00Z', '12 min', '12:00'],
  ['2026-01-02T10:54:51Z', '1 h 05 min', '1:05:09'],
  ['2026-01-01T07:00:00Z', '1 d 5 h', '29:00:00'],
  ['2026-01-02T12:05:00Z', 'just now', '0:00'],
  ['not a date', '', ''],
  [null, '', ''],
])('since %s is “%s”, on a clock “%s”', (since, words, time) => {
  expect(elapsed(since, NOW)).toBe(words);
  expect(clock(since, NOW)).toBe(time);
});

it('says how long a broadcast lasted', () => {
  expect(lasted('2026-01-02T10:00:00Z', '2026-01-02T11:30:00Z')).toBe('1 h 30 min');
  expect(lasted('2026-01-02T10:00:00Z', '2026-01-02T10:00:20Z')).toBe('under a minute');
  expect(lasted('2026-01-02T10:00:00Z', null)).toBe('');
});

it('counts viewers and followers', () => {
  expect(viewers(1)).toBe('1 viewer');
  expect(viewers(1204)).toBe('1,204 viewers');
  expect(followers(0)).toBe('0 followers');
  expect(followers(1)).toBe('1 follower');
});
