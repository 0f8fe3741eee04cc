/** The viewer's volume, kept for the next visit. */
export const soundMemory = {
  muted: false,
  volume: 1,

  keep(muted: boolean, volume: number): void {
    this.muted = muted;
    this.volume = volume;
    try {
      localStorage.setItem(KEY, JSON.stringify({ muted, volume }));
    } catch {
      // Storage may be switched off.
    }
  },
};

const KEY = 'caudal.sound';

try {
  const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? 'null');
  if (typeof stored === 'object' && stored !== null && 'muted' in stored && 'volume' in stored) {
    soundMemory.muted = stored.muted === true;
    const volume = Number(stored.volume);
    if (volume >= 0 && volume <= 1) soundMemory.volume = volume;
  }
} catch {
  // Nothing usable was stored.
}
