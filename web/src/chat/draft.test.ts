import { describe, expect, it } from 'vitest';
import { judge, lengthOf, remaining, restored, tidy } from './draft.ts';

describe('a draft', () => {
  it.each([
    ['  hola \n\n  mundo\t!', 'hola mundo !'],
    ['cafe\u0301', 'café'],
    ['', ''],
    [' \n\t', ''],
  ])('%j is kept as %j', (typed, kept) => {
    expect(tidy(typed)).toBe(kept);
  });

  it.each([
    ['', 'empty'],
    ['   ', 'empty'],
    ['a', 'fine'],
    ['x'.repeat(500), 'fine'],
    [`  ${'x'.repeat(500)}  `, 'fine'],
    ['x'.repeat(501), 'too_long'],
    // Code points, not UTF-16 units: a flag is two, a plain emoji is one.
    ['😀'.repeat(500), 'fine'],
    ['😀'.repeat(501), 'too_long'],
  ] as const)('%j is %s', (typed, verdict) => {
    expect(judge(typed)).toBe(verdict);
  });

  it('counts composed characters', () => {
    expect(lengthOf('n\u0303'.repeat(3))).toBe(3);
    expect(lengthOf('🇪🇸')).toBe(2);
  });

  it.each([
    [449, null],
    [450, 50],
    [500, 0],
    [503, -3],
  ])('of %i characters says that %j are left', (length, left) => {
    expect(remaining('x'.repeat(length))).toBe(left);
  });

  it('that was not sent goes before what was typed since', () => {
    expect(restored('hello', '')).toBe('hello');
    expect(restored('hello', '  ')).toBe('hello');
    expect(restored('hello', 'and more')).toBe('hello and more');
  });
});
