import { expect, it } from 'vitest';
import { wordsForRefusal } from './refusal-words.ts';

it.each([
  ['too_fast', 'not so fast; wait 1 s', 'Not so fast.'],
  ['too_long', 'a message has 500 characters at most', 'A message has 500 characters at most.'],
  ['slow', 'this chat is slow; wait 10 s', 'Slow mode is on.'],
  ['blocked_term', 'blocked', 'Not sent: this message has words that are blocked here.'],
  ['something_new', 'no.', 'No.'],
  ['something_new', '', 'The server did not accept this.'],
])('%s, %j, is told as %s', (code, detail, words) => {
  expect(wordsForRefusal({ code, detail, retryAfterMs: null })).toBe(words);
});

it.each([
  'banned_here',
  'timed_out',
  'followers_only',
  'subs_only',
  'emotes_only',
  'not_unique',
  'links_blocked',
  'protected',
  'oneself',
  'too_many',
])('%s has words of our own', (code) => {
  expect(wordsForRefusal({ code, detail: 'what the server says', retryAfterMs: null })).not.toContain(
    'server says',
  );
});
