import { describe, expect, it } from 'vitest';
import { entryAfterKey, entryOnOpening, type Entry } from './menu-keys.ts';

const radio = (checked: boolean): Entry => ({ role: 'menuitemradio', checked });
const box = (checked: boolean): Entry => ({ role: 'menuitemcheckbox', checked });

describe('a menu that opens', () => {
  it.each([
    ['the chosen quality', [radio(false), radio(false), radio(true), box(true)], 2],
    ['automatic, when that is the choice', [radio(true), radio(false), box(false)], 0],
    ['the first entry, when none is chosen', [radio(false), radio(false), box(true)], 0],
    ['what there is without qualities', [box(true)], 0],
    ['nothing when it is empty', [], -1],
  ])('gives the focus to %s', (_, entries, at) => {
    expect(entryOnOpening(entries)).toBe(at);
  });
});

describe('a key in a menu of four', () => {
  it.each([
    ['ArrowDown', 0, 1],
    ['ArrowDown', 3, 0],
    ['ArrowDown', -1, 0],
    ['ArrowUp', 0, 3],
    ['ArrowUp', -1, 3],
    ['Home', 2, 0],
    ['End', 0, 3],
    ['a', 0, null],
  ])('%s at %d goes to %j', (key, at, to) => {
    expect(entryAfterKey(key, at, 4)).toBe(to);
  });
});
