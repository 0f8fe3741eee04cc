import { describe, expect, it } from 'vitest';
import { shortcutOf, type KeyPress } from './shortcuts.ts';

const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
  key,
  repeat: false,
  modified: false,
  typing: false,
  onButton: false,
  atPlayer: false,
  ...more,
});

describe('a key', () => {
  it.each([
    [' ', 'play'],
    ['k', 'play'],
    ['K', 'play'],
    ['m', 'mute'],
    ['f', 'fullscreen'],
    ['ArrowLeft', 'back'],
    ['ArrowRight', 'forward'],
    ['x', null],
    ['Enter', null],
    ['constructor', null],
  ])('%j does %j', (key, shortcut) => {
    expect(shortcutOf(press(key), true)).toBe(shortcut);
  });

  it.each(['k', 'M', 'f'])('%j does nothing while letters are switched off', (key) => {
    expect(shortcutOf(press(key), false)).toBeNull();
  });

  it.each([' ', 'ArrowLeft', 'ArrowRight'])('%j is no letter, and works without them', (key) => {
    expect(shortcutOf(press(key), false)).not.toBeNull();
  });

  it.each([' ', 'k', 'm', 'f', 'ArrowLeft'])('%j does nothing with a modifier or while typing', (key) => {
    expect(shortcutOf(press(key, { modified: true }), true)).toBeNull();
    expect(shortcutOf(press(key, { typing: true }), true)).toBeNull();
  });

  it('that is held down switches once, and moves on and on', () => {
    expect(shortcutOf(press('m', { repeat: true }), true)).toBeNull();
    expect(shortcutOf(press('ArrowLeft', { repeat: true }), true)).toBe('back');
  });

  it('leaves the space bar to buttons, and the page its scrolling', () => {
    expect(shortcutOf(press(' ', { onButton: true }), true)).toBeNull();
    expect(shortcutOf(press('ArrowUp'), true)).toBeNull();
    expect(shortcutOf(press('ArrowUp', { atPlayer: true }), true)).toBe('louder');
  });
});
