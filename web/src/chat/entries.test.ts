import { expect, it } from 'vitest';
import { entriesOf } from './entries.ts';
import { BOB, line } from './made-up-lines.ts';
import type { Note, Thanks } from './room.ts';

const note = (offset: number): Note => ({
  epoch: 1,
  offset,
  kind: 'banned',
  userId: BOB.id,
  username: BOB.username,
  durationSeconds: null,
});

it.each([
  ['to a viewer', [1, 3], [2], false, 'm1 m3'],
  ['between lines', [1, 3], [2], true, 'm1 n2 m3'],
  ['after them', [1, 2], [3, 4], true, 'm1 m2 n3 n4'],
  ['of before the first line', [5, 6], [2, 7], true, 'm5 m6 n7'],
  ['where nobody’s line is left', [], [2, 3], true, 'n2 n3'],
])('notes %s are shown as they happened', (_, lines, notes, moderating, expected) => {
  const room = { lines: lines.map((at) => line(at)), notes: notes.map(note), thanks: [] };
  const entries = entriesOf(room, moderating);
  expect(
    entries.map((entry) => (entry.note === null ? entry.line.id : `n${entry.note.offset}`)).join(' '),
  ).toBe(expected);
  expect(new Set(entries.map(({ key }) => key)).size).toBe(entries.length);
});

const thanks = (offset: number): Thanks => ({
  epoch: 1,
  offset,
  kind: 'subscribed',
  user: { username: BOB.username, displayName: null },
  tier: 'pro',
  months: 1,
});

it.each([
  ['to a viewer', false, 'm2 n4 m6'],
  ['to a moderator, among the notes', true, 'm2 n3 n4 n5 m6'],
])('who subscribes is shown %s', (_, moderating, expected) => {
  const room = { lines: [line(2), line(6)], notes: [note(3), note(5)], thanks: [thanks(1), thanks(4)] };
  const shown = entriesOf(room, moderating).map((entry) =>
    entry.note === null ? entry.line.id : `n${entry.note.offset}`,
  );
  expect(shown.join(' ')).toBe(expected);
});
