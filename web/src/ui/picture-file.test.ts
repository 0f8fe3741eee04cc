import { expect, it } from 'vitest';
import { sizeToSend, toSend } from './picture-file.ts';

it.each([
  ['a photograph', [4032, 3024], [1920, 1440]],
  ['one that was held upright', [3024, 4032], [1440, 1920]],
  ['a small picture', [300, 200], [300, 200]],
  ['a line', [9600, 1], [1920, 1]],
])('sends %s no larger than it is shown', (_, [width = 0, height = 0], wanted) => {
  const size = sizeToSend(width, height);
  expect([size.width, size.height]).toEqual(wanted);
});

it.each([
  ['is small', new Blob(['x'], { type: 'image/png' })],
  ['is no picture', new Blob(['x'.repeat(600_000)], { type: 'text/plain' })],
  ['this browser cannot read', new Blob(['x'.repeat(600_000)], { type: 'image/png' })],
])('sends a file as it is that %s', async (_, file) => {
  expect(await toSend(file)).toBe(file);
});
