/** One entry of a menu, as far as its place for the focus goes. */
export interface Entry {
  role: string | null;
  checked: boolean;
}

/** Where the focus goes when a menu opens: to the choice that holds, else to the first entry; -1 in an empty menu. */
export function entryOnOpening(entries: readonly Entry[]): number {
  const chosen = entries.findIndex(({ role, checked }) => role === 'menuitemradio' && checked);
  return chosen >= 0 ? chosen : entries.length > 0 ? 0 : -1;
}

/** Where a key moves the focus to, from entry `at` of `count` (-1: none has it); `null` if it is no such key. */
export function entryAfterKey(key: string, at: number, count: number): number | null {
  switch (key) {
    case 'ArrowDown':
      return (at + 1) % count;
    case 'ArrowUp':
      return at < 0 ? count - 1 : (at - 1 + count) % count;
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    default:
      return null;
  }
}
