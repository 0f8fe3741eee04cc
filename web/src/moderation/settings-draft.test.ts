import { expect, it } from 'vitest';
import type { ChatSettings } from '../api/moderation.ts';
import { ANYTHING_GOES } from '../chat/made-up-lines.ts';
import { changesOf, followerChoices, slowChoices, switchable } from './settings-draft.ts';

it.each<[Partial<ChatSettings>, Partial<ChatSettings>, Partial<ChatSettings>]>([
  [{}, {}, {}],
  [{}, { slowSeconds: 10 }, { slowSeconds: 10 }],
  [{ followersOnlyMinutes: 10 }, { followersOnlyMinutes: null }, { followersOnlyMinutes: null }],
  [{ links: 'block', uniqueOnly: true }, { links: 'allow', uniqueOnly: true }, { links: 'allow' }],
])('from %j to %j only %j is sent', (before, after, sent) => {
  expect(changesOf({ ...ANYTHING_GOES, ...before }, { ...ANYTHING_GOES, ...after })).toEqual(sent);
});

it.each<[Partial<ChatSettings>, boolean, boolean, boolean]>([
  [{}, false, false, false],
  [{}, true, true, false],
  [{ subsOnly: true, emoteOnly: true }, false, true, true],
  [{ subsOnly: true, emoteOnly: true }, true, true, true],
])(
  'with %j, and subscriptions sold: %s, subscribers only can be switched: %s, emotes only: %s',
  (before, sold, subsOnly, emoteOnly) => {
    expect(switchable({ ...ANYTHING_GOES, ...before }, sold)).toEqual({ subsOnly, emoteOnly });
  },
);

it('offers what holds, also if it is none of the usual choices', () => {
  expect(slowChoices(7).map(({ value }) => value)).toEqual(['0', '3', '5', '7', '10', '30', '60', '120']);
  expect(slowChoices(0)[0]).toEqual({ value: '0', words: 'Off' });
  expect(followerChoices(null).map(({ value }) => value)).toHaveLength(8);
  expect(followerChoices(15)).toContainEqual({ value: '15', words: 'Followers for 15 minutes or longer' });
  expect(
    followerChoices(0)
      .slice(0, 2)
      .map(({ words }) => words),
  ).toEqual(['Everybody', 'Followers only']);
});
