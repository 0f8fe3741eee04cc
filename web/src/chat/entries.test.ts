import { expect, it } from 'vitest';
import { entriesOf } from './entries.ts';
import { BOB, line } from './made-up-lines.ts';
import type { Note } from './room.ts';

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
  const entries = entriesOf({ lines: lines.map((at) => line(at)), notes: notes.map(note) }, moderating);
  expect(
    entries.map((entry) => (entry.note === null ? entry.line.id : `n${entry.note.offset}`)).join(' '),
  ).toBe(expected);
  expect(new Set(entries.map(({ key }) => key)).size).toBe(entries.length);
});
