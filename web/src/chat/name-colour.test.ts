import { expect, it } from 'vitest';
import { coloursOf, DARK, LIGHT, type Theme } from './name-colour.ts';

function channels(hue: number, { saturation, lightness }: Theme): number[] {
  const [s, l] = [saturation / 100, lightness / 100];
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  });
}

function luminance(rgb: number[]): number {
  const [r = 0, g = 0, b = 0] = rgb.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const contrast = (one: number, other: number) =>
  (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
const hex = (colour: string) => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);

// `--surface` of app.css, and what it becomes under `--accent-soft`, which marks lines that mention the reader.
it.each([
  ['dark', DARK, ['#12171e', '#182e32']],
  ['light', LIGHT, ['#ffffff', '#ebf4f3']],
] as const)('every hue of a name can be read in the %s theme', (_, theme, grounds) => {
  for (const ground of grounds) {
    for (let hue = 0; hue < 360; hue += 1) {
      expect(contrast(luminance(channels(hue, theme)), luminance(hex(ground))), `${hue}`).toBeGreaterThan(
        4.5,
      );
    }
  }
});

it('a name has the same colours each time, and others have others', () => {
  expect(coloursOf('marea')).toEqual(coloursOf('marea'));
  expect(coloursOf('marea')).not.toEqual(coloursOf('ana'));
});
