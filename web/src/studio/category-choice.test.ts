import { describe, expect, it } from 'vitest';
import type { Category } from '../api/streams.ts';
import { comboboxMove, MOST_CATEGORIES, toOffer, withCategory, withoutCategory } from './category-choice.ts';

const category = (id: string): Category => ({ id, name: id.toUpperCase(), slug: id });
const many = (count: number) => Array.from({ length: count }, (_, n) => category(`c${n}`));

describe('the categories of a stream', () => {
  it('are added once each, in the order of choosing', () => {
    const one = withCategory([], category('b'));
    const two = withCategory(one, category('a'));
    expect(two).toEqual([category('b'), category('a')]);
    expect(withCategory(two, category('b'))).toBe(two);
  });

  it('are ten at most', () => {
    const full = many(MOST_CATEGORIES);
    expect(withCategory(full, category('x'))).toBe(full);
  });

  it('keep nothing but what a stream knows of them', () => {
    const suggestion = { ...category('a'), icon: null, viewers: 3, liveStreams: 1 };
    expect(withCategory([], suggestion)).toEqual([category('a')]);
  });

  it('are removed, and offered again', () => {
    const found = many(3);
    const chosen = withCategory([], category('c1'));
    expect(toOffer(found, chosen).map(({ id }) => id)).toEqual(['c0', 'c2']);
    expect(toOffer(found, withoutCategory(chosen, category('c1')))).toHaveLength(3);
  });
});

describe('a key in the combobox', () => {
  it.each([
    ['ArrowDown', true, -1, 3, { move: 'mark', option: 0 }],
    ['ArrowDown', true, 2, 3, { move: 'mark', option: 0 }],
    ['ArrowUp', true, -1, 3, { move: 'mark', option: 2 }],
    ['ArrowUp', true, 1, 3, { move: 'mark', option: 0 }],
    ['ArrowDown', false, -1, 0, { move: 'mark', option: -1 }],
    ['Enter', true, 1, 3, { move: 'choose', option: 1 }],
    // The form is saved by Enter, as from every other field.
    ['Enter', true, -1, 3, { move: 'none' }],
    ['Enter', false, 1, 3, { move: 'none' }],
    ['Escape', true, 0, 3, { move: 'close' }],
    ['Escape', false, -1, 3, { move: 'none' }],
    ['a', true, 0, 3, { move: 'none' }],
  ])('%s, open: %s, option %d of %d', (key, open, active, count, move) => {
    expect(comboboxMove(key, open, active, count)).toEqual(move);
  });
});
