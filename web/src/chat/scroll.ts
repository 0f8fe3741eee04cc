/** Where a list is scrolled to. */
export interface Scroll {
  /** Pixels above what is seen. */
  top: number;
  /** Pixels below it. */
  below: number;
}

/**
 * Whether the list goes on following what is new. Whoever scrolls up, however little, wants to read: lines that arrive at
 * that moment must not pull them down again.
 */
export function follows(followed: boolean, before: number, { top, below }: Scroll): boolean {
  if (below <= EDGE_PX) return true;
  if (top < before) return false;
  return followed || below <= NEAR_PX;
}

/** Browsers round. */
const EDGE_PX = 2;
/** One line. */
const NEAR_PX = 32;
