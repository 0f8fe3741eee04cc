/** The hue of a person's name: their own, the same at every visit and for everybody. `ui/Avatar.svelte` has the same. */
export function hueOf(username: string): number {
  return [...username].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
}

/** Saturation and lightness in each theme: every hue stands out from the panel by 4.5:1 (WCAG 1.4.3). */
export const DARK = { saturation: 75, lightness: 74 };
export const LIGHT = { saturation: 75, lightness: 25 };
