import { expect, it } from 'vitest';
import type { ChatSettings } from '../api/moderation.ts';
import { ANYTHING_GOES } from './made-up-lines.ts';
import { rulesChanged, rulesInForce } from './rule-words.ts';

it.each<[Partial<ChatSettings>, string[]]>([
  [{}, []],
  [{ slowSeconds: 10 }, ['Slow mode: 10 seconds']],
  [{ slowSeconds: 120 }, ['Slow mode: 2 minutes']],
  [{ followersOnlyMinutes: 0 }, ['Followers only']],
  [{ followersOnlyMinutes: 90 }, ['Followers only, after 90 minutes']],
  [{ followersOnlyMinutes: 1440 }, ['Followers only, after 1 day']],
  [{ subsOnly: true, emoteOnly: true }, ['Subscribers only', 'Emotes only']],
  [{ uniqueOnly: true, links: 'block' }, ['No repeated messages', 'No links']],
])('with %j says %j', (settings, words) => {
  expect(rulesInForce({ ...ANYTHING_GOES, ...settings })).toEqual(words);
});

it.each<[Partial<ChatSettings>, string[]]>([
  [{}, []],
  [{ slowSeconds: 0, links: 'allow' }, ['No slow mode', 'Links are allowed']],
  [{ followersOnlyMinutes: null }, ['Everybody may talk']],
  [{ uniqueOnly: false, links: 'block' }, ['Repeated messages are allowed', 'No links']],
  [{ subsOnly: false, emoteOnly: true }, ['Not only subscribers', 'Emotes only']],
])('a change to %j is told as %j', (change, words) => {
  expect(rulesChanged(change)).toEqual(words);
});
