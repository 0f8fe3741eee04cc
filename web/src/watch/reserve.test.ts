import { expect, it } from 'vitest';
import { Reserve } from './reserve.ts';

function played(reserve: Reserve, seconds: number, unrest = 0.02): number {
  for (let tick = 0; tick < seconds * 20; tick += 1) reserve.played(0.05, unrest, true);
  return reserve.spared;
}

it.each([
  ['at first', 0, 0.02, 0],
  ['after half a minute', 30, 0.02, 0],
  ['five seconds later', 35, 0.02, 0.5],
  ['after that', 41, 0.02, 1],
  ['an hour later', 3600, 0.02, 1],
  ['on a network that is never calm', 3600, 0.1, 0],
])('%s %d s of calm spare what they should', (_, seconds, unrest, spared) => {
  expect(played(new Reserve(), seconds, unrest)).toBeCloseTo(spared, 1);
});

it.each([
  ['the picture falters', (reserve: Reserve) => reserve.faltered(0.1)],
  ['parts come unevenly', (reserve: Reserve) => reserve.played(0.05, 0.1, true)],
  ['parts come unevenly in a hidden tab', (reserve: Reserve) => reserve.played(0.05, 0.1, false)],
])('is whole again at once when %s', (_, happens) => {
  const reserve = new Reserve();
  played(reserve, 60);
  happens(reserve);
  expect(reserve.spared).toBe(0);
});

it.each([
  ['while it was spared, for half an hour', 60, 0.1, 1790, 0],
  ['while it was spared, but not for ever', 60, 0.1, 1841, 1],
  ['while it was whole, as before', 10, 0.1, 41, 1],
  ['for longer than it would have lasted, as before', 60, 2, 41, 1],
])('waits after a falter %s', (_, before, duration, after, spared) => {
  const reserve = new Reserve();
  played(reserve, before);
  reserve.faltered(duration);
  expect(played(reserve, after)).toBeCloseTo(spared, 1);
});

it('is not blamed for a falter long after a hidden tab took it back', () => {
  const reserve = new Reserve();
  played(reserve, 60);
  for (let second = 0; second < 60; second += 1) reserve.played(1, 0.1, false);
  expect(reserve.spared).toBe(0);
  reserve.faltered(0.1);
  expect(played(reserve, 41)).toBeCloseTo(1, 1);
});

it('is blamed also when unrest took it back a moment before the falter', () => {
  const reserve = new Reserve();
  played(reserve, 60);
  played(reserve, 0.5, 0.1);
  reserve.faltered(0.1);
  expect(played(reserve, 600)).toBe(0);
});
