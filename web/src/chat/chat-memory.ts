/** Whether the viewer wants chat beside the player, kept for the next visit. */
export const chatMemory = {
  recall(): boolean {
    try {
      return localStorage.getItem(KEY) !== 'hidden';
    } catch {
      return true;
    }
  },

  keep(shown: boolean): void {
    try {
      if (shown) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, 'hidden');
    } catch {
      // Storage may be switched off; then the choice lasts as long as the page.
    }
  },
};

const KEY = 'caudal.chat';
