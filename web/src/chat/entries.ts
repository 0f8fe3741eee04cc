import type { Line } from './frames.ts';
import { comparePositions, type Note, type Room } from './room.ts';

/** What stands in the list, in its order. */
export type Entry = { key: string; line: Line; note: null } | { key: string; line: null; note: Note };

/** Lines, and for who keeps order also who was banned between them. Notes that are older than all lines are left out. */
export function entriesOf({ lines, notes }: Pick<Room, 'lines' | 'notes'>, moderating: boolean): Entry[] {
  const entries: Entry[] = [];
  const [first] = lines;
  const shown = notes.filter(
    (note) => moderating && (first === undefined || comparePositions(note, first) > 0),
  );
  let at = 0;
  for (const line of lines) {
    for (let note = shown[at]; note !== undefined && comparePositions(note, line) < 0; note = shown[at]) {
      entries.push(noteEntry(note));
      at += 1;
    }
    entries.push({ key: line.id, line, note: null });
  }
  return entries.concat(shown.slice(at).map(noteEntry));
}

const noteEntry = (note: Note): Entry => ({ key: `note ${note.epoch}.${note.offset}`, line: null, note });
