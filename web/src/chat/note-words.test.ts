import { expect, it } from 'vitest';
import { wordsForNote } from './note-words.ts';
import type { Note } from './room.ts';

it.each<[Note['kind'], number | null, string]>([
  ['banned', null, 'bob was banned.'],
  ['banned', 600, 'bob was timed out for 10 minutes.'],
  ['unbanned', null, 'bob may talk again.'],
  ['appointed', null, 'bob is a moderator now.'],
  ['dismissed', null, 'bob is not a moderator any more.'],
])('that somebody is %s for %j s is told as “%s”', (kind, durationSeconds, words) => {
  const at = { epoch: 1, offset: 1 };
  expect(wordsForNote({ ...at, kind, userId: 'u-bob', username: 'bob', durationSeconds })).toBe(words);
});

it.each<[string | null, string, number, string]>([
  [null, 'pro', 1, 'bob has subscribed (Pro)'],
  ['Bob', 'premium', 12, 'Bob has subscribed for 12 months (Premium)'],
  ['Ana', 'gold', 0, 'Ana (@bob) has subscribed (gold)'],
])('that %j subscribes (%s, %d months) is told as “%s”', (displayName, tier, months, words) => {
  const user = { username: 'bob', displayName };
  expect(wordsForNote({ epoch: 1, offset: 1, kind: 'subscribed', user, tier, months })).toBe(words);
});
