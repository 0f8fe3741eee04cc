import type { Line } from './frames.ts';
import { comparePositions, type Note, type Room, type Thanks } from './room.ts';

/** What stands in the list, in its order. */
export type Entry =
  { key: string; line: Line; note: null } | { key: string; line: null; note: Note | Thanks };

/**
 * Lines, who subscribed between them, and for who keeps order also who was banned. What is older than all lines is left
 * out.
 */
export function entriesOf(
  { lines, notes, thanks }: Pick<Room, 'lines' | 'notes' | 'thanks'>,
  moderating: boolean,
): Entry[] {
  const entries: Entry[] = [];
  const [first] = lines;
  const shown = [...(moderating ? notes : []), ...thanks]
    .filter((note) => first === undefined || comparePositions(note, first) > 0)
    .sort(comparePositions);
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

const noteEntry = (note: Note | Thanks): Entry => ({
  key: `note ${note.epoch}.${note.offset}`,
  line: null,
  note,
});
