import { expect, it } from 'vitest';
import { wordsForFailure } from './failure-words.ts';

it.each([
  ['start_timeout', 'no picture came within a minute'],
  ['nothing_playable', 'what was sent cannot be played'],
  ['no_capacity', 'the platform had no worker for it'],
  ['workers_lost', 'its workers kept failing'],
  ['eaten', 'a dog ate it'],
])('%s is told as “%s”', (reasonCode, words) => {
  expect(wordsForFailure({ reasonCode, reason: 'a dog ate it' })).toBe(words);
});
