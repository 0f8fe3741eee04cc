/** What a key does in the player. */
export type Shortcut = 'play' | 'mute' | 'fullscreen' | 'louder' | 'quieter' | 'back' | 'forward';

/** What of a key press decides. */
export interface KeyPress {
  key: string;
  /** Held down: what is switched must not be switched to and fro. */
  repeat: boolean;
  /** Any of Alt, AltGr, Ctrl, Meta, Shift. */
  modified: boolean;
  /** The key belongs to something else: text is being typed or composed, a list or a slider is being used. */
  typing: boolean;
  /** A button or a link has the focus, which the space bar presses. */
  onButton: boolean;
  /** The player has the focus, or fills the screen; elsewhere up and down scroll the page. */
  atPlayer: boolean;
}

/**
 * The shortcut of a key press, if it is one. Letters can be switched off (WCAG 2.1.4): speech input types whole words at
 * a page, and a hand that trembles hits what it does not want.
 */
export function shortcutOf(press: KeyPress, letters: boolean): Shortcut | null {
  if (press.modified || press.typing) return null;
  const isLetter = press.key.length === 1 && press.key !== ' ';
  if (isLetter && !letters) return null;
  if (press.key === ' ' && press.onButton) return null;
  const shortcut = KEYS.get(isLetter ? press.key.toLowerCase() : press.key) ?? null;
  if (shortcut === null) return null;
  const volume = shortcut === 'louder' || shortcut === 'quieter';
  if (volume && !press.atPlayer) return null;
  const steps = volume || shortcut === 'back' || shortcut === 'forward';
  return press.repeat && !steps ? null : shortcut;
}

/** Reads an event of the document; `player` is what holds the player's own elements. */
export function keyPress(event: KeyboardEvent, player: Element, fullscreen: boolean): KeyPress {
  const at = event.target instanceof Element ? event.target : null;
  const within = (selector: string) => at !== null && at.closest(selector) !== null;
  return {
    key: event.key,
    repeat: event.repeat,
    modified:
      event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.getModifierState('AltGraph'),
    typing: event.isComposing || within(TYPING),
    onButton: within('button, a, summary'),
    atPlayer: fullscreen || player.contains(at),
  };
}

const KEYS: ReadonlyMap<string, Shortcut> = new Map([
  [' ', 'play'],
  ['k', 'play'],
  ['m', 'mute'],
  ['f', 'fullscreen'],
  ['ArrowUp', 'louder'],
  ['ArrowDown', 'quieter'],
  ['ArrowLeft', 'back'],
  ['ArrowRight', 'forward'],
]);
const TYPING =
  'input, textarea, select, [contenteditable]:not([contenteditable="false"]), [role="menu"], [role="textbox"], ' +
  '[role="combobox"], [role="slider"]';
