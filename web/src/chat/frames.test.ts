import { describe, expect, it } from 'vitest';
import { readFrame, readLines } from './frames.ts';
import { ANYTHING_GOES, line } from './made-up-lines.ts';

const read = (event: string, data: unknown, more: object = {}) =>
  readFrame(JSON.stringify({ event, data, ...more }));

describe('a frame', () => {
  it.each([
    ['new_message', { ...line(4), streamId: 's' }, { event: 'new_message', line: line(4) }],
    ['new_message', { epoch: 1, offset: 4 }, { event: 'unknown', position: { epoch: 1, offset: 4 } }],
    ['pinned', { epoch: 1, offset: 4 }, { event: 'unknown', position: { epoch: 1, offset: 4 } }],
    [
      'user_banned',
      { epoch: 1, offset: 4, userId: 'u', username: 'bob', durationSeconds: 600 },
      {
        event: 'user_banned',
        position: { epoch: 1, offset: 4 },
        userId: 'u',
        username: 'bob',
        durationSeconds: 600,
      },
    ],
    [
      'user_unbanned',
      { epoch: 1, offset: 4, userId: 'u', username: 'bob' },
      { event: 'user_unbanned', position: { epoch: 1, offset: 4 }, userId: 'u', username: 'bob' },
    ],
    [
      'role_changed',
      { epoch: 1, offset: 4, userId: 'u', username: 'bob', role: 'moderator' },
      {
        event: 'role_changed',
        position: { epoch: 1, offset: 4 },
        userId: 'u',
        username: 'bob',
        role: 'moderator',
      },
    ],
    [
      'role_changed',
      { epoch: 1, offset: 4, userId: 'u', username: 'bob', role: 'emperor' },
      { event: 'unknown', position: { epoch: 1, offset: 4 } },
    ],
    ['user_banned', { epoch: 1, offset: 4 }, { event: 'unknown', position: { epoch: 1, offset: 4 } }],
    ['user_banned', { userId: 'u', username: 'bob' }, { event: 'unknown', position: null }],
    [
      'new_subscriber',
      { epoch: 1, offset: 4, streamId: 's', user: { id: 'u', username: 'bob' }, tier: 'pro', months: 3 },
      {
        event: 'new_subscriber',
        position: { epoch: 1, offset: 4 },
        user: { id: 'u', username: 'bob', displayName: null },
        tier: 'pro',
        months: 3,
      },
    ],
    [
      'new_subscriber',
      { epoch: 1, offset: 4, user: { id: 'u' }, tier: 'pro' },
      { event: 'unknown', position: { epoch: 1, offset: 4 } },
    ],
    [
      'chat_settings',
      { epoch: 1, offset: 4, settings: { slowSeconds: 10, links: 'block' } },
      {
        event: 'chat_settings',
        position: { epoch: 1, offset: 4 },
        settings: { ...ANYTHING_GOES, slowSeconds: 10, links: 'block' },
      },
    ],
    [
      'stream_updated',
      { epoch: 1, offset: 4, title: 'T', categories: [{ id: 'c', name: 'Art', slug: 'art' }, 7] },
      {
        event: 'stream_updated',
        position: { epoch: 1, offset: 4 },
        title: 'T',
        categories: [{ id: 'c', name: 'Art', slug: 'art' }],
      },
    ],
    [
      'stream_ended',
      { epoch: 1, offset: 4, endedAt: '2026-11-30T12:00:00Z', reason: null },
      { event: 'stream_ended', position: { epoch: 1, offset: 4 }, endedAt: '2026-11-30T12:00:00Z' },
    ],
    ['raid', {}, { event: 'unknown', position: null }],
    ['viewer_count', { count: 7 }, { event: 'viewer_count', count: 7 }],
    ['viewer_count', { count: 'many' }, null],
    ['joined', {}, null],
    ['error', { code: 'not_found' }, { event: 'error', code: 'not_found' }],
  ])('%s with %j is read', (event, data, expected) => {
    expect(read(event, data)).toEqual(expected);
  });

  it('of an answer has its id, whether that is a number or a text', () => {
    expect(read('ack', { ok: true, message: line(2) }, { id: 7 })).toEqual({
      event: 'ack',
      id: '7',
      refusal: null,
      line: line(2),
      standing: null,
    });
    expect(
      read('ack', { ok: false, code: 'too_fast', detail: 'wait', retryAfterMs: 640 }, { id: 'a' }),
    ).toEqual({
      event: 'ack',
      id: 'a',
      refusal: { code: 'too_fast', detail: 'wait', retryAfterMs: 640 },
      line: null,
      standing: null,
    });
    expect(
      read('ack', { ok: true, self: { role: 'moderator', banned: false } }, { id: 'auth' }),
    ).toMatchObject({
      standing: { role: 'moderator', banned: false, bannedUntil: null },
    });
  });

  it.each(['', '[]', '7', 'null', '{', '{"data":{}}'])('is not %j', (text) => {
    expect(readFrame(text)).toBeNull();
  });

  it('of an entry says what the room allows, if the server knows', () => {
    const at = { epoch: 1, offset: 4 };
    expect(read('joined', { ...at, settings: { uniqueOnly: true } })).toMatchObject({
      settings: { ...ANYTHING_GOES, uniqueOnly: true },
    });
    expect(read('joined', { ...at, settings: null })).toMatchObject({ settings: null });
  });

  it('of a message has the badges that are known', () => {
    const user = { ...line(1).user, badges: ['subscriber_pro', 'admin', 'knight', 'owner'] };
    expect(readLines([line(1, { user: user as never })])[0]?.user.badges).toEqual([
      'owner',
      'admin',
      'subscriber_pro',
    ]);
    expect(readLines([line(1, { user: { ...user, badges: undefined } as never })])[0]?.user.badges).toEqual(
      [],
    );
  });

  it('leaves out of a list what is no message', () => {
    expect(readLines([line(1), null, { id: 'x' }, line(2)])).toEqual([line(1), line(2)]);
    expect(readLines('no list')).toEqual([]);
  });
});
