/** The hue of a person's name: their own, the same at every visit and for everybody. `ui/Avatar.svelte` has the same. */
function hueOf(username: string): number {
  return [...username].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
}

/** The colours of a person's name in the dark and in the light theme. */
export function coloursOf(username: string): { dark: string; light: string } {
  const hue = hueOf(username);
  const colour = ({ saturation, lightness }: Theme) => `hsl(${hue}, ${saturation}%, ${lightness}%)`;
  return { dark: colour(DARK), light: colour(LIGHT) };
}

export interface Theme {
  /** Per cent. */
  saturation: number;
  /** Per cent: every hue stands out from the panel by 4.5:1 (WCAG 1.4.3). */
  lightness: number;
}

export const DARK: Theme = { saturation: 75, lightness: 74 };
export const LIGHT: Theme = { saturation: 75, lightness: 25 };
