import { expect, it } from 'vitest';
import { wordsForRefusal } from './refusal-words.ts';

it.each([
  ['too_fast', 'not so fast; wait 1 s', 'Not so fast.'],
  ['too_long', 'a message has 500 characters at most', 'A message has 500 characters at most.'],
  ['something_new', 'no.', 'No.'],
  ['something_new', '', 'The server did not accept this.'],
])('%s, %j, is told as %s', (code, detail, words) => {
  expect(wordsForRefusal({ code, detail, retryAfterMs: null })).toBe(words);
});
