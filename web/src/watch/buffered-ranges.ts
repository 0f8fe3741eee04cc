/** What is asked about a `TimeRanges` of buffered media; times are seconds of the element's timeline. */
export interface Ranges {
  readonly length: number;
  start(index: number): number;
  end(index: number): number;
}

/** Where the range that holds `position` ends; `null` where nothing is buffered there. */
export function endOfRange(ranges: Ranges, position: number): number | null {
  for (let range = 0; range < ranges.length; range += 1) {
    if (ranges.start(range) - TOLERANCE <= position && position <= ranges.end(range))
      return ranges.end(range);
  }
  return null;
}

/** Where the first range begins that lies ahead of `position`; `null` when none does. */
export function nextRange(ranges: Ranges, position: number): number | null {
  for (let range = 0; range < ranges.length; range += 1) {
    if (ranges.start(range) > position + TOLERANCE) return ranges.start(range);
  }
  return null;
}

/** hls.js leaves gaps of a few milliseconds between segments of real encoders. */
const TOLERANCE = 0.1;
