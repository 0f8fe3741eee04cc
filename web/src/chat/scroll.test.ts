import { expect, it } from 'vitest';
import { follows } from './scroll.ts';

it.each([
  ['stays at the end', true, 500, { top: 500, below: 0 }, true],
  ['follows when lines arrive below', true, 500, { top: 500, below: 60 }, true],
  ['lets go when somebody scrolls up a little', true, 500, { top: 490, below: 10 }, false],
  ['stays where somebody reads', false, 100, { top: 120, below: 380 }, false],
  ['follows again near the end', false, 460, { top: 475, below: 25 }, true],
  ['follows again at the end', false, 480, { top: 500, below: 1 }, true],
  ['follows when old lines go and everything moves up', true, 500, { top: 460, below: 0 }, true],
])('a list %s', (_, followed, before, scroll, expected) => {
  expect(follows(followed, before, scroll)).toBe(expected);
});
