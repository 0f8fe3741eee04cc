import { describe, expect, it } from 'vitest';
import { endOfRange, nextRange, type Ranges } from './buffered-ranges.ts';

const ranges = (...pairs: [number, number][]): Ranges => ({
  length: pairs.length,
  start: (index) => pairs[index]?.[0] ?? Number.NaN,
  end: (index) => pairs[index]?.[1] ?? Number.NaN,
});

describe('what is buffered around a position', () => {
  const hole = ranges([15.8, 24.37], [28, 30.2]);

  it.each([
    ['in a range', 20, 24.37, 28],
    ['at the end of a range', 24.37, 24.37, 28],
    ['in the hole behind it', 25.49, null, 28],
    ['just before the next range', 27.95, 30.2, null],
    ['in the last range', 29, 30.2, null],
    ['beyond all', 31, null, null],
  ])('%s', (_, position, end, next) => {
    expect(endOfRange(hole, position)).toBe(end);
    expect(nextRange(hole, position)).toBe(next);
  });

  it('is nothing while nothing is there', () => {
    expect(endOfRange(ranges(), 0)).toBeNull();
    expect(nextRange(ranges(), 0)).toBeNull();
  });
});
