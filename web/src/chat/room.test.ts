import { describe, expect, it } from 'vitest';
import type { Author, Line, ServerFrame } from './frames.ts';
import { ANA, ANYTHING_GOES, BOB, line, lines, NOW } from './made-up-lines.ts';
import {
  accepted,
  EMPTY_ROOM,
  hear,
  isCaughtUp,
  pended,
  sinceOf,
  trimmed,
  withLatest,
  withOlder,
  type Need,
  type Room,
} from './room.ts';
import type { Role } from './standing.ts';

const joined = (offset: number, messages: Line[], recovered = false, epoch = 1): ServerFrame => ({
  event: 'joined',
  position: { epoch, offset },
  recovered,
  viewerCount: 3,
  messages,
  settings: null,
});
const said = (offset: number, change: Partial<Line> = {}): ServerFrame => ({
  event: 'new_message',
  line: line(offset, change),
});
const deleted = (offset: number, id: string): ServerFrame => ({
  event: 'message_deleted',
  position: { epoch: 1, offset },
  id,
});
const about = (user: Author) => ({ userId: user.id, username: user.username });
const banned = (offset: number, user: Author, durationSeconds: number | null = 600): ServerFrame => ({
  event: 'user_banned',
  position: { epoch: 1, offset },
  ...about(user),
  durationSeconds,
});
const unbanned = (offset: number, user: Author): ServerFrame => ({
  event: 'user_unbanned',
  position: { epoch: 1, offset },
  ...about(user),
});
const made = (offset: number, user: Author, role: Role): ServerFrame => ({
  event: 'role_changed',
  position: { epoch: 1, offset },
  ...about(user),
  role,
});
const subscribed = (offset: number): ServerFrame => ({
  event: 'new_subscriber',
  position: { epoch: 1, offset },
  user: BOB,
  tier: 'pro',
  months: 2,
});
const PENDING = { clientMsgId: 'c1', message: 'hello', replyTo: null, since: NOW };

function after(frames: ServerFrame[], start: Room = EMPTY_ROOM): Room & { need: Need } {
  let room = start;
  let need: Need = 'nothing';
  for (const frame of frames) ({ room, need } = hear(room, frame, ANA.id));
  return { ...room, need };
}
const ids = (room: Room) => room.lines.map(({ id }) => id).join(' ');

describe('a room', () => {
  it.each<[string, ServerFrame[], string, string, Need]>([
    ['begins with the last messages', [joined(3, lines(1, 3))], 'm1 m2 m3', '1.3', 'nothing'],
    ['takes what comes next', [joined(3, lines(2, 3)), said(4), said(5)], 'm2 m3 m4 m5', '1.5', 'nothing'],
    ['takes an event once', [joined(1, [line(1)]), said(2), said(2), said(1)], 'm1 m2', '1.2', 'nothing'],
    ['asks again for what is missing', [joined(1, [line(1)]), said(3)], 'm1', '1.1', 'replay'],
    ['asks again in a new epoch', [joined(1, [line(1)]), said(1, { epoch: 2 })], 'm1', '1.1', 'replay'],
    ['leaves an old epoch alone', [joined(1, [line(1)]), said(9, { epoch: 0 })], 'm1', '1.1', 'nothing'],
    ['takes messages away', [joined(2, lines(1, 2)), deleted(3, 'm1')], 'm2', '1.3', 'nothing'],
    [
      'counts what it does not know',
      [joined(1, [line(1)]), { event: 'unknown', position: { epoch: 1, offset: 2 } }, said(3)],
      'm1 m3',
      '1.3',
      'nothing',
    ],
    [
      'goes on where it was, when the server still has what was missed',
      [joined(2, lines(1, 2)), joined(4, [], true), said(3), said(4)],
      'm1 m2 m3 m4',
      '1.4',
      'nothing',
    ],
    [
      'begins anew when the server has it no more: between old and new lines some are missing',
      [joined(2, lines(1, 2)), joined(400, lines(399, 400))],
      'm399 m400',
      '1.400',
      'nothing',
    ],
    [
      'begins anew in a new epoch',
      [joined(2, lines(1, 2)), joined(0, [line(1), line(2)], false, 2), said(1, { epoch: 2, id: 'n1' })],
      'm1 m2 n1',
      '2.1',
      'nothing',
    ],
    [
      'reads the history where events were lost on the way',
      [joined(2, lines(1, 2)), { event: 'resync', position: { epoch: 1, offset: 9 } }],
      'm1 m2',
      '1.9',
      'history',
    ],
  ])('%s', (_, frames, expected, since, need) => {
    const room = after(frames);
    expect(ids(room)).toBe(expected);
    expect(sinceOf(room)).toBe(since);
    expect(room.need).toBe(need);
  });

  it('takes the history in place of what it had, and keeps what came meanwhile', () => {
    const resync = { epoch: 1, offset: 9 };
    const room = after([joined(2, lines(1, 2)), { event: 'resync', position: resync }, said(10), said(11)]);
    expect(ids(withLatest(room, lines(7, 10), resync, ANA.id))).toBe('m7 m8 m9 m10 m11');
  });

  it('does not show again what was taken away while the history was read', () => {
    const room = after([joined(3, lines(2, 3)), deleted(4, 'm1')]);
    expect(ids(withOlder(room, lines(0, 2)))).toBe('m0 m2 m3');
  });

  it('takes only what is older from a page of the past', () => {
    expect(ids(withOlder(after([joined(5, lines(4, 5))]), lines(2, 4)))).toBe('m2 m3 m4 m5');
    expect(ids(withOlder(after([joined(0, [])]), lines(1, 2)))).toBe('m1 m2');
  });

  it('is cut to its last lines', () => {
    expect(ids(trimmed(after([joined(5, lines(1, 5))]), 2))).toBe('m4 m5');
  });

  it('knows when it has heard all that it missed', () => {
    expect(isCaughtUp(EMPTY_ROOM)).toBe(false);
    const back = after([joined(2, lines(1, 2)), joined(4, [], true), said(3)]);
    expect(isCaughtUp(back)).toBe(false);
    expect(isCaughtUp(after([said(4)], back))).toBe(true);
  });
});

describe('a room in which somebody keeps order', () => {
  const twoTalk = [line(1), line(2, { user: ANA }), line(3)];

  it('shows nothing that somebody said before they were banned, and what they say once they may again', () => {
    const room = after([joined(3, twoTalk), banned(4, BOB)]);
    expect([ids(room), sinceOf(room), room.need]).toEqual(['m2', '1.4', 'nothing']);
    expect(ids(after([unbanned(5, BOB), said(6)], room))).toBe('m2 m6');
  });

  it('does not show it again with a page that was read before, nor with an answer that comes late', () => {
    const room = after([joined(3, twoTalk), banned(4, BOB)]);
    expect(ids(withOlder(room, [line(0), line(0, { id: 'm0a', user: ANA })]))).toBe('m0a m2');
    const mine = after([joined(1, [line(1)]), banned(3, ANA)]);
    expect(mine.need).toBe('replay');
    const answered = accepted(
      after([banned(3, ANA)], { ...after([joined(1, [line(1)])]), ahead: [2] }),
      'c1',
      line(2, { user: ANA }),
    );
    expect([ids(answered), sinceOf(answered)]).toEqual(['m1', '1.3']);
  });

  it('notes who was banned and who may talk again', () => {
    const { notes } = after([joined(1, [line(1)]), banned(2, BOB), unbanned(3, BOB), banned(4, BOB, null)]);
    expect(notes.map(({ kind, username, durationSeconds }) => [kind, username, durationSeconds])).toEqual([
      ['banned', 'bob', 600],
      ['unbanned', 'bob', null],
      ['banned', 'bob', null],
    ]);
  });

  it('keeps a hundred notes', () => {
    const frames = Array.from({ length: 120 }, (_, n) => unbanned(n + 2, BOB));
    expect(after([joined(1, [line(1)]), ...frames]).notes).toHaveLength(100);
  });

  it('knows what it allows, from the entry on, and asks again where such an event is missing', () => {
    const slow = { ...ANYTHING_GOES, slowSeconds: 10 };
    const change = (offset: number): ServerFrame => ({
      event: 'chat_settings',
      position: { epoch: 1, offset },
      settings: ANYTHING_GOES,
    });
    const room = after([{ ...joined(1, []), settings: slow } as ServerFrame]);
    expect(room.settings).toEqual(slow);
    // A server that cannot say so now has not changed it.
    expect(after([joined(1, [], true)], room).settings).toEqual(slow);
    expect(after([change(2)], room).settings).toEqual(ANYTHING_GOES);
    expect(after([change(3)], room).need).toBe('replay');
  });

  it('knows what its stream is called now, and when that is over', () => {
    const position = { epoch: 1, offset: 2 };
    const room = after([
      joined(1, []),
      { event: 'stream_updated', position, title: 'Anew', categories: [] },
      { event: 'stream_ended', position: { epoch: 1, offset: 3 }, endedAt: '2026-11-30T12:00:00Z' },
    ]);
    expect([room.renamed?.title, room.endedAt, sinceOf(room)]).toEqual([
      'Anew',
      '2026-11-30T12:00:00Z',
      '1.3',
    ]);
  });
});

describe('my own message', () => {
  const mine = (offset: number) => line(offset, { user: ANA, message: 'hello' });
  const waiting = () => pended(after([joined(1, [line(1)])]), PENDING);

  it('takes its place by its answer, and counts as its event', () => {
    const room = accepted(waiting(), 'c1', mine(2));
    expect([ids(room), room.pending, sinceOf(room)]).toEqual(['m1 m2', [], '1.2']);
    expect(after([said(3)], room).need).toBe('nothing');
  });

  it('may be answered before what others said just before it', () => {
    const room = accepted(waiting(), 'c1', mine(4));
    expect(sinceOf(room)).toBe('1.1');
    const whole = after([said(2), said(3), said(5)], room);
    expect([ids(whole), sinceOf(whole), whole.need]).toEqual(['m1 m2 m3 m4 m5', '1.5', 'nothing']);
  });

  it('hides no gap', () => {
    const room = after([said(2), said(5)], accepted(waiting(), 'c1', mine(4)));
    expect([sinceOf(room), room.need]).toEqual(['1.2', 'replay']);
  });

  it('is there once when its second try is answered with what the first became', () => {
    const room = accepted(after([said(2, mine(2)), said(3)], waiting()), 'c1', mine(2));
    expect([ids(room), sinceOf(room)]).toEqual(['m1 m2 m3', '1.3']);
  });

  it('that was taken away before its second try is answered does not come back', () => {
    const room = accepted(after([joined(9, lines(8, 9))], waiting()), 'c1', mine(2));
    expect([ids(room), room.pending]).toEqual(['m8 m9', []]);
  });

  it.each([
    ['comes back as an event', said(2, mine(2)), 0],
    ['is among the last messages', joined(2, [line(1), mine(2)]), 0],
    ['was said by somebody else', said(2, { message: 'hello' }), 1],
    ['has other words', said(2, { user: ANA, message: 'hello?' }), 1],
    [
      'was said long before',
      said(2, { user: ANA, message: 'hello', timestamp: new Date(NOW - 60_000).toISOString() }),
      1,
    ],
  ])('whose answer was lost, and that %s, waits %#', (_, frame, left) => {
    expect(after([frame], waiting()).pending).toHaveLength(left);
  });
});

describe('what people are', () => {
  it.each<[string, ServerFrame[], Role | undefined]>([
    ['is not known without a word of it', [], undefined],
    ['is what was said last', [made(4, BOB, 'moderator'), made(5, BOB, 'viewer')], 'viewer'],
    ['is nothing else for who is banned', [made(4, BOB, 'moderator'), banned(5, BOB)], 'viewer'],
    ['stays what it was through a ban', [made(4, BOB, 'admin'), banned(5, BOB)], 'admin'],
    ['is not what was said long ago', [made(4, BOB, 'viewer'), made(4, BOB, 'moderator')], 'viewer'],
  ])('%s', (_, frames, role) => {
    const room = after([joined(3, lines(1, 3)), ...frames]);
    expect(room.roles.get(BOB.id)).toBe(role);
    expect(room.need).toBe('nothing');
  });

  it('is noted for who keeps order', () => {
    const room = after([joined(3, []), made(4, BOB, 'moderator'), made(5, BOB, 'viewer')]);
    expect(room.notes.map(({ kind }) => kind)).toEqual(['appointed', 'dismissed']);
  });
});

it('keeps the latest of those who subscribe, once each, in the order of the room', () => {
  const many = Array.from({ length: 120 }, (_, index) => subscribed(index + 2));
  const room = after([joined(1, [line(1)]), ...many, subscribed(121)]);
  expect(room.thanks.map(({ offset }) => offset)).toEqual(
    Array.from({ length: 100 }, (_, index) => index + 22),
  );
  expect(room.thanks[0]).toMatchObject({ kind: 'subscribed', tier: 'pro', months: 2 });
  expect(room.position?.offset).toBe(121);
});
