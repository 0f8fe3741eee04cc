import { describe, expect, it } from 'vitest';
import type { Badge } from './frames.ts';
import { BOB, NOW } from './made-up-lines.ts';
import {
  banned,
  isSilenced,
  mayActOn,
  readStanding,
  roleOf,
  unbanned,
  withRole,
  type Role,
} from './standing.ts';

const UNTIL = new Date(NOW + 60_000).toISOString();

describe('a standing', () => {
  it.each([
    [
      { role: 'owner', banned: false, bannedUntil: null },
      { role: 'owner', banned: false, bannedUntil: null },
    ],
    [
      { role: 'viewer', banned: true, bannedUntil: UNTIL },
      { role: 'viewer', banned: true, bannedUntil: NOW + 60_000 },
    ],
    [{ role: 'emperor' }, { role: 'viewer', banned: false, bannedUntil: null }],
    [undefined, null],
  ])('is read from %j', (value, expected) => {
    expect(readStanding(value)).toEqual(expected);
  });

  it.each([
    ['nobody is known', null, false],
    ['there is no ban', { banned: false, bannedUntil: null }, false],
    ['the ban is for good', { banned: true, bannedUntil: null }, true],
    ['the ban goes on', { banned: true, bannedUntil: NOW + 1 }, true],
    ['the ban is over', { banned: true, bannedUntil: NOW }, false],
  ])('silences if %s: %#', (_, ban, expected) => {
    expect(isSilenced(ban === null ? null : { role: 'viewer', ...ban }, NOW)).toBe(expected);
  });

  it.each<[Role, number | null, Role, number | null]>([
    ['viewer', 600, 'viewer', NOW + 600_000],
    ['moderator', null, 'viewer', null],
    ['admin', 600, 'admin', NOW + 600_000],
  ])('of a %s after a ban for %j s is that of a %s', (role, seconds, after, until) => {
    const now = banned({ role, banned: false, bannedUntil: null }, seconds, NOW);
    expect(now).toEqual({ role: after, banned: true, bannedUntil: until });
    expect(unbanned(now)).toEqual({ role: after, banned: false, bannedUntil: null });
  });
});

it.each<[Badge[], Role]>([
  [[], 'viewer'],
  [['admin'], 'admin'],
  [['subscriber_premium'], 'viewer'],
  [['moderator', 'admin'], 'moderator'],
  [['owner', 'admin'], 'owner'],
])('badges %j say %s', (badges, role) => {
  expect(roleOf(badges)).toBe(role);
});

it.each<[Badge[], Role | undefined, Badge[]]>([
  [[], undefined, []],
  [['moderator'], undefined, ['moderator']],
  [[], 'moderator', ['moderator']],
  [['admin'], 'moderator', ['moderator', 'admin']],
  [['moderator', 'admin'], 'admin', ['admin']],
  [['moderator'], 'viewer', []],
])('a line with %j of somebody who is a %s now counts as one with %j', (badges, role, expected) => {
  expect(withRole({ ...BOB, badges }, role).badges).toEqual(expected);
});

it.each<[Role | null, Badge[], boolean]>([
  [null, [], false],
  ['viewer', [], false],
  ['moderator', [], true],
  ['moderator', ['moderator'], false],
  ['moderator', ['admin'], false],
  ['moderator', ['subscriber_pro'], true],
  ['moderator', ['moderator', 'subscriber_premium'], false],
  ['admin', [], true],
  ['admin', ['owner'], false],
  ['owner', [], true],
  ['owner', ['moderator', 'admin'], true],
  ['owner', ['owner'], false],
])('a %s may act on whom has %j: %s', (role, badges, expected) => {
  expect(mayActOn(role, 'u-me', { ...BOB, badges }, 'u-streamer')).toBe(expected);
  // Never on oneself, nor on a streamer whose line is from before there were badges.
  expect(mayActOn(role, BOB.id, { ...BOB, badges }, 'u-streamer')).toBe(false);
  expect(mayActOn(role, 'u-me', { ...BOB, badges }, BOB.id)).toBe(false);
});
