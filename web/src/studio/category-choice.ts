import type { Category } from '../api/streams.ts';

/** The api takes no more for one stream. */
export const MOST_CATEGORIES = 10;

export function withCategory(chosen: readonly Category[], category: Category): readonly Category[] {
  const full = chosen.length >= MOST_CATEGORIES;
  return full || chosen.some(({ id }) => id === category.id) ? chosen : [...chosen, pick(category)];
}

export function withoutCategory(chosen: readonly Category[], { id }: Category): readonly Category[] {
  return chosen.filter((category) => category.id !== id);
}

/** The suggestions that are not chosen yet. */
export function toOffer<T extends Category>(found: readonly T[], chosen: readonly Category[]): T[] {
  return found.filter(({ id }) => !chosen.some((category) => category.id === id));
}

/** What a suggestion knows beyond the category itself is not kept. */
function pick({ id, name, slug }: Category): Category {
  return { id, name, slug };
}

/** What a key does in the field of a combobox, whose options are `count`; `active` of them is marked, -1 for none. */
export type ComboboxMove =
  | { move: 'mark'; option: number }
  | { move: 'choose'; option: number }
  | { move: 'close' }
  | { move: 'none' };

export function comboboxMove(key: string, open: boolean, active: number, count: number): ComboboxMove {
  const none: ComboboxMove = { move: 'none' };
  switch (key) {
    case 'ArrowDown':
      return { move: 'mark', option: count === 0 ? -1 : (active + 1) % count };
    case 'ArrowUp':
      return { move: 'mark', option: count === 0 ? -1 : active <= 0 ? count - 1 : active - 1 };
    case 'Enter':
      return open && active >= 0 ? { move: 'choose', option: active } : none;
    case 'Escape':
      return open ? { move: 'close' } : none;
    default:
      return none;
  }
}
