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
