import { expect, it } from 'vitest';
import { PictureWatch } from './picture-watch.ts';

/** Ten seconds of pictures `every` seconds apart. */
function watching(every: number) {
  const watch = new PictureWatch();
  let count = 0;
  let now = 0;
  const after = (gap: number, pictures = 1) => watch.shown((now += gap), (count += pictures));
  for (let picture = 0; picture * every < 10; picture += 1) expect(after(every)).toBe(0);
  return { watch, after };
}

it.each([
  ['two pictures of 30 a second are missing', 1 / 30, 0.1, false],
  ['five pictures of 30 a second are missing', 1 / 30, 0.2, true],
  ['one picture of 60 a second is missing', 1 / 60, 2 / 60, false],
  ['a screen with 5 pictures a second stutters a bit', 0.2, 0.35, false],
  ['a screen with 5 pictures a second stands still', 0.2, 0.8, true],
  ['pictures have been hidden for a minute', 1 / 30, 60, false],
])('when %s', (_, every, gap, conspicuous) => {
  const { after } = watching(every);
  expect(after(gap) > 0).toBe(conspicuous);
});

it('does not take callbacks that a busy page missed for pictures', () => {
  const { after } = watching(1 / 30);
  expect(after(0.3, 9)).toBe(0);
});

it('does not take a pause for a fault', () => {
  const { watch, after } = watching(1 / 30);
  watch.interrupted();
  expect(after(2)).toBe(0);
});
