/** What may be said, as far as it is known here; the server has the last word (`api/src/chat/text.rs`). */

/** As the server keeps it: one line, composed. */
export function tidy(typed: string): string {
  return typed.split(/\s+/u).join(' ').trim().normalize('NFC');
}

/** In code points, as the server counts. */
export function lengthOf(typed: string): number {
  return [...tidy(typed)].length;
}

export type Verdict = 'fine' | 'empty' | 'too_long';

export function judge(typed: string): Verdict {
  const length = lengthOf(typed);
  return length === 0 ? 'empty' : length > LONGEST ? 'too_long' : 'fine';
}

/** The characters that are left, once it is worth saying; negative when there are too many. */
export function remaining(typed: string): number | null {
  const left = LONGEST - lengthOf(typed);
  return left <= NEAR ? left : null;
}

/** What was not sent goes back into the field, before what was typed since. */
export function restored(unsent: string, typed: string): string {
  return typed.trim() === '' ? unsent : `${unsent} ${typed.trimStart()}`;
}

export const LONGEST = 500;
const NEAR = 50;
