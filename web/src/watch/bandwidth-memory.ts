/** The bandwidth measured on this device last time, so that the first picture comes in the right quality. */
export const bandwidthMemory = {
  recall(): number | null {
    try {
      const stored = Number(localStorage.getItem(KEY));
      return stored >= LEAST && stored <= MOST ? stored : null;
    } catch {
      return null;
    }
  },

  keep(bitsPerSecond: number): void {
    const now = performance.now();
    if (!(bitsPerSecond > 0) || now - keptAt < PAUSE_MS) return;
    keptAt = now;
    try {
      // Three quarters, because starting too high costs a stall and starting too low a second of blur.
      localStorage.setItem(KEY, String(Math.round(Math.min(Math.max(bitsPerSecond * 0.75, LEAST), MOST))));
    } catch {
      // Storage may be switched off; then every visit measures anew.
    }
  },
};

let keptAt = -Infinity;

const KEY = 'caudal.bandwidth';
const PAUSE_MS = 10_000;
const LEAST = 300_000;
const MOST = 50_000_000;
