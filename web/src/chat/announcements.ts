import type { Line } from './frames.ts';

/** Whether lines come faster than a screen reader can say them; then it says none rather than all of them late. */
export function isTooFastToHear(lines: readonly Line[], now: number): boolean {
  const earlier = lines[lines.length - HEARD];
  return earlier !== undefined && now - Date.parse(earlier.timestamp) < WINDOW_MS;
}

/** A line takes about two seconds to be said. */
const HEARD = 6;
const WINDOW_MS = 10_000;
