/** The language that a visitor chose by hand; `null` if they leave it to the browser. */
export const languageMemory = {
  recall(): string | null {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  },

  keep(tag: string | null): void {
    try {
      if (tag === null) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, tag);
    } catch {
      // Storage may be switched off; then the choice lasts as long as the page.
    }
  },
};

const KEY = 'caudal.language';
