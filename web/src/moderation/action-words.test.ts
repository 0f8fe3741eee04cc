import { expect, it } from 'vitest';
import type { Action } from '../api/moderation.ts';
import { wordsForAction } from './action-words.ts';

const MAREA = { id: 'u-marea', username: 'marea', displayName: 'Marea' };
const BOB = { id: 'u-bob', username: 'bob', displayName: null };

it.each<[string, Record<string, unknown>, string, string[]]>([
  ['ban', { durationSeconds: null, reason: 'spam' }, 'Marea banned bob.', ['Reason: spam']],
  ['ban', { durationSeconds: null, reason: null }, 'Marea banned bob.', []],
  ['timeout', { durationSeconds: 600, reason: null }, 'Marea timed bob out for 10 minutes.', []],
  ['unban', {}, 'Marea let bob talk again.', []],
  ['delete_message', { messageId: 'm1' }, 'Marea deleted a message of bob.', []],
  ['add_moderator', {}, 'Marea made bob a moderator.', []],
  ['remove_moderator', {}, 'Marea made bob a viewer again.', []],
  ['add_term', { term: 'spam*' }, 'Marea blocked “spam*”.', []],
  ['remove_term', { term: 'spam*' }, 'Marea unblocked “spam*”.', []],
  [
    'change_settings',
    { slowSeconds: 10, links: 'allow' },
    'Marea changed what this chat allows.',
    ['Slow mode: 10 seconds', 'Links are allowed'],
  ],
  ['raid', {}, 'Marea did something that this page does not know.', []],
])('%s with %j is told as “%s”', (action, detail, what, more) => {
  const done: Action = { id: 'a', at: '', action, by: MAREA, user: BOB, detail };
  expect(wordsForAction(done)).toEqual({ what, more });
});

it('names nobody whose account is gone', () => {
  const done: Action = { id: 'a', at: '', action: 'unban', by: null, user: BOB, detail: {} };
  expect(wordsForAction(done).what).toBe('A deleted account let bob talk again.');
});
