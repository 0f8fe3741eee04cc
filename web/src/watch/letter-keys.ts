/** Whether single letters work in the player, kept for the next visit. */
export const letterKeys = {
  recall(): boolean {
    try {
      return localStorage.getItem(KEY) !== 'off';
    } catch {
      return true;
    }
  },

  keep(on: boolean): void {
    try {
      if (on) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, 'off');
    } catch {
      // Storage may be switched off; then the choice lasts as long as the page.
    }
  },
};

const KEY = 'caudal.letter-keys';
