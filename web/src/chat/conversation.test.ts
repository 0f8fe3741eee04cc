import { beforeEach, describe, expect, it } from 'vitest';
import { Conversation, type Effect } from './conversation.ts';
import type { Line } from './frames.ts';
import { ANA, ANYTHING_GOES, BOB, line, lines, NOW } from './made-up-lines.ts';

let talk: Conversation;
let now: number;
const SOON = 0.5;

beforeEach(() => {
  talk = new Conversation();
  now = NOW;
});

const server = (event: string, data: unknown, id?: string) =>
  talk.heard(JSON.stringify({ event, data, ...(id === undefined ? {} : { id }) }), now);
const joined = (offset: number, messages: Line[] = [], recovered = false) =>
  server('joined', { epoch: 1, offset, recovered, viewerCount: 1, messages });
const ok = (id: string, message?: Line) => server('ack', { ok: true, message }, id);
const no = (id: string, code: string, retryAfterMs: number | null = null) =>
  server('ack', { ok: false, code, detail: code, retryAfterMs }, id);

/** What was asked for since the last look; frames as `event id`. */
function did(): string[] {
  return talk.take().map((effect: Effect) => {
    switch (effect.do) {
      case 'send': {
        const { event, id } = JSON.parse(effect.frame) as { event: string; id: string };
        return `${event} ${id}`;
      }
      case 'open':
        return `open ${effect.since ?? 'anew'}`;
      case 'token':
        return `token ${effect.rejected ?? ''}`.trim();
      case 'return':
        return `return ${effect.message}: ${effect.refusal.code}`;
      default:
        return effect.do;
    }
  });
}

/** In the room, as ana. */
function speaking(messages: Line[] = [line(1)]) {
  talk.start(now);
  joined(messages[messages.length - 1]?.offset ?? 0, messages);
  talk.account(ANA.id, now);
  talk.token({ value: 't1', renewAt: now + 3_000_000 }, now);
  ok('auth');
  did();
}

const tickAt = (at: number, late = 0) => {
  now = at;
  talk.tick(now, late, SOON);
};

describe('a conversation', () => {
  it('enters the room, and says who it is once there is somebody', () => {
    talk.start(now);
    expect(did()).toEqual(['open anew']);
    joined(1, [line(1)]);
    expect([talk.link, talk.speaking, did()]).toEqual(['joined', 'no', []]);
    talk.account(ANA.id, now);
    expect(did()).toEqual(['token']);
    talk.token({ value: 't1', renewAt: now + 1_000 }, now);
    expect([talk.speaking, did()]).toEqual(['asking', ['authenticate auth']]);
    ok('auth');
    expect(talk.speaking).toBe('yes');
  });

  it('authenticates again before its token ends', () => {
    speaking();
    tickAt(NOW + 3_000_000);
    server('viewer_count', { count: 1 });
    tickAt(NOW + 3_000_000);
    expect(did()).toContain('token');
    talk.token({ value: 't2', renewAt: now + 3_000_000 }, now);
    ok('auth');
    expect(talk.speaking).toBe('yes');
  });

  it('asks for another token when the server does not take one, and not over and over', () => {
    talk.start(now);
    joined(0);
    talk.account(ANA.id, now);
    talk.token({ value: 't1', renewAt: Infinity }, now);
    did();
    no('auth', 'token_expired');
    expect(did()).toEqual(['token t1']);
    talk.token({ value: 't2', renewAt: Infinity }, now);
    did();
    no('auth', 'session_revoked');
    expect([talk.speaking, did()]).toEqual(['no', []]);
    tickAt(NOW + 10_000);
    expect(did()).toEqual(['token t2']);
  });

  it('asks later when no token can be had, and not in a loop while it is not connected', () => {
    talk.start(now);
    joined(0);
    talk.account(ANA.id, now);
    did();
    talk.closed(1006, now, SOON);
    talk.tokenFailed(now);
    now = NOW + 300;
    expect(talk.wakeAt(now)).toBeGreaterThan(now);
  });

  it('comes back from where it was, and sends again what was not answered, once it knows what was said', () => {
    speaking();
    talk.say('hello', null, 'c1', now);
    expect(did()).toEqual(['send_message say:c1']);
    talk.closed(1006, now, SOON);
    expect(talk.link).toBe('waiting');
    tickAt(now + 400);
    expect(did()).toEqual(['close', 'open 1.1']);
    joined(2, [], true);
    talk.token({ value: 't1', renewAt: Infinity }, now);
    ok('auth');
    expect(did()).toEqual(['token', 'authenticate auth']);
    server('new_message', line(2));
    expect(did()).toEqual(['send_message say:c1']);
    ok('say:c1', line(3, { user: ANA, message: 'hello' }));
    expect(talk.room.lines.map(({ id }) => id)).toEqual(['m1', 'm2', 'm3']);
    expect(talk.room.pending).toEqual([]);
  });

  it('does not send again what was said, though a server that started anew forgot its name', () => {
    speaking();
    talk.say('hello', null, 'c1', now);
    talk.closed(1001, now, SOON);
    tickAt(now + 1_500);
    did();
    server('joined', {
      epoch: 2,
      offset: 0,
      recovered: false,
      messages: [line(1), line(2, { user: ANA, message: 'hello' })],
    });
    talk.token({ value: 't1', renewAt: Infinity }, now);
    ok('auth');
    expect(did()).toEqual(['token', 'authenticate auth']);
    expect(talk.room.lines).toHaveLength(2);
  });

  it.each([
    ['is too fast', 'too_fast'],
    ['is over', 'ended'],
    ['cannot be kept', 'unavailable'],
  ])('gives the text back when it %s', (_, code) => {
    speaking();
    talk.say('hello', null, 'c1', now);
    did();
    no('say:c1', code, 640);
    expect(did()).toEqual([`return hello: ${code}`]);
    expect(talk.room.pending).toEqual([]);
  });

  it('sends a message again with another token when the one before has ended', () => {
    speaking();
    talk.say('hello', null, 'c1', now);
    did();
    no('say:c1', 'token_expired');
    expect(did()).toEqual(['token t1']);
    talk.token({ value: 't2', renewAt: Infinity }, now);
    ok('auth');
    expect(did()).toEqual(['authenticate auth', 'send_message say:c1']);
  });

  it('does not send minutes later what waited for a connection', () => {
    speaking();
    talk.closed(1006, now, SOON);
    talk.say('hello', null, 'c1', now);
    tickAt(now + 300_000);
    joined(1, [], true);
    talk.token({ value: 't1', renewAt: Infinity }, now);
    ok('auth');
    expect(did()).toContain('return hello: too_late');
  });

  it('does not send again the frame that the server did not understand', () => {
    speaking();
    talk.say('hello', null, 'c1', now);
    did();
    talk.closed(4400, now, SOON);
    expect(did()).toContain('return hello: refused');
  });

  it('comes back without a gap when it slept for ten minutes, whatever its socket looks like', () => {
    speaking(lines(1, 3));
    tickAt(NOW + 600_000, 595_000);
    expect(did()).toEqual(['close', 'open 1.3']);
    joined(5, [], true);
    server('new_message', line(4));
    server('new_message', line(5));
    expect(talk.room.lines.map(({ id }) => id)).toEqual(['m1', 'm2', 'm3', 'm4', 'm5']);
  });

  it('leaves a hidden page alone, whose timers come once a minute', () => {
    speaking();
    tickAt(NOW + 60_000, 55_000);
    expect(did()).toEqual([]);
  });

  it('asks a silent server whether it is there, and believes it', () => {
    speaking();
    tickAt(NOW + 61_000);
    expect(did()).toEqual(['ping probe']);
    now += 100;
    no('probe', 'malformed');
    tickAt(now + 15_000);
    expect([talk.link, did()]).toEqual(['joined', []]);
  });

  it('tells what is on the screen for as long as it is in, and does not mind a server that knows nothing of that', () => {
    speaking();
    talk.watching('2026-11-30T18:04:05.678Z');
    expect(did()).toEqual(['watching watching']);
    no('watching', 'malformed');
    expect([talk.link, did()]).toEqual(['joined', []]);
    talk.closed(1006, now, 0);
    did();
    talk.watching('2026-11-30T18:04:35.678Z');
    expect(did()).toEqual([]);
  });

  it('opens another connection when nothing is answered any more', () => {
    speaking();
    tickAt(NOW + 61_000);
    tickAt(now + 11_000);
    expect(talk.link).toBe('waiting');
    tickAt(now + 1_000);
    expect(did()).toEqual(['ping probe', 'close', 'open 1.1']);
  });

  it('opens another connection when a message is not answered', () => {
    speaking();
    talk.say('hello', null, 'c1', now);
    tickAt(NOW + 11_000);
    expect([talk.link, did()]).toEqual(['waiting', ['send_message say:c1', 'close']]);
  });

  it('waits for the network, and comes back with it', () => {
    speaking();
    talk.closed(1006, now, SOON);
    talk.offline(now);
    expect([talk.link, did()]).toEqual(['offline', ['close']]);
    talk.online(now);
    expect(did()).toEqual(['open 1.1']);
  });

  it('asks for what is missing with a new connection', () => {
    speaking();
    now += 20_000;
    server('new_message', line(3));
    expect(did()).toEqual(['close', 'open 1.1']);
  });

  it('opens connections that do not last ever less often', () => {
    talk.start(now);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 4; attempt += 1) {
      talk.closed(1006, now, 1);
      const at = talk.wakeAt(now);
      waits.push(at - now);
      tickAt(at);
    }
    expect(waits).toEqual([800, 1_000, 2_000, 4_000]);
  });

  it('is over where there is no such room', () => {
    talk.start(now);
    server('error', { code: 'not_found', detail: '' });
    talk.closed(4404, now, SOON);
    expect(talk.link).toBe('over');
    talk.online(now);
    tickAt(now + 100_000, 99_000);
    expect(did()).toEqual(['open anew', 'close']);
  });

  it('reads the history anew when the server lost events, and tries that again', () => {
    speaking();
    server('resync', { epoch: 1, offset: 9 });
    expect(did()).toEqual(['history']);
    server('new_message', line(10));
    talk.historyFailed(now);
    tickAt(now + 5_000);
    expect(did()).toEqual(['history']);
    talk.history(lines(8, 9));
    expect(talk.room.lines.map(({ id }) => id)).toEqual(['m8', 'm9', 'm10']);
  });

  it('takes nothing along from one person to another', () => {
    speaking();
    talk.closed(1006, now, SOON);
    talk.say('hello', null, 'c1', now);
    talk.account('u-bob', now);
    expect(talk.room.pending).toEqual([]);
  });

  it('listens on a connection of nobody’s after a log-out', () => {
    speaking();
    talk.account(null, now);
    expect([talk.speaking, did()]).toEqual(['no', ['close', 'open 1.1']]);
  });

  it('removes a message when the server has', () => {
    speaking();
    talk.remove('m1');
    expect(did()).toEqual(['delete_message delete:m1']);
    no('delete:m1', 'forbidden');
    expect([talk.room.lines.length, did()]).toEqual([1, ['tell']]);
    talk.remove('m1');
    ok('delete:m1');
    expect(talk.room.lines).toEqual([]);
  });

  it('knows what it is in the room, and keeps that over a connection that breaks', () => {
    talk.start(now);
    joined(0);
    talk.account(ANA.id, now);
    talk.token({ value: 't1', renewAt: Infinity }, now);
    expect(talk.standing).toBeNull();
    server('ack', { ok: true, self: { role: 'moderator', banned: false, bannedUntil: null } }, 'auth');
    expect(talk.standing).toMatchObject({ role: 'moderator', banned: false });
    talk.closed(1006, now, SOON);
    expect(talk.standing).toMatchObject({ role: 'moderator' });
    talk.account(BOB.id, now);
    expect(talk.standing).toBeNull();
  });

  const standAs = (role: string) =>
    server('ack', { ok: true, self: { role, banned: false, bannedUntil: null } }, 'auth');
  const ban = (offset: number, userId: string, durationSeconds: number | null = 60) =>
    server('user_banned', { epoch: 1, offset, userId, username: 'somebody', durationSeconds });

  it('may not talk once it is banned, and may when the ban is taken back', () => {
    speaking();
    standAs('moderator');
    ban(2, BOB.id);
    expect(talk.standing).toMatchObject({ role: 'moderator', banned: false });
    ban(3, ANA.id);
    expect(talk.standing).toEqual({ role: 'viewer', banned: true, bannedUntil: NOW + 60_000 });
    server('user_unbanned', { epoch: 1, offset: 4, userId: ANA.id, username: 'ana' });
    expect(talk.standing).toMatchObject({ banned: false });
    // An event that comes twice holds once.
    ban(3, ANA.id);
    expect(talk.standing).toMatchObject({ banned: false });
  });

  it('is what it was made, once', () => {
    speaking();
    standAs('viewer');
    const makes = (offset: number, userId: string, role: string) =>
      server('role_changed', { epoch: 1, offset, userId, username: 'somebody', role });
    makes(2, BOB.id, 'moderator');
    expect(talk.standing).toMatchObject({ role: 'viewer' });
    makes(3, ANA.id, 'moderator');
    expect(talk.standing).toMatchObject({ role: 'moderator', banned: false });
    makes(4, ANA.id, 'viewer');
    expect(talk.standing).toMatchObject({ role: 'viewer' });
    makes(3, ANA.id, 'moderator');
    expect(talk.standing).toMatchObject({ role: 'viewer' });
  });

  it('does not count a ban anew that is told again after a connection that broke', () => {
    speaking();
    standAs('viewer');
    talk.closed(1006, now, SOON);
    tickAt(now + 300_000);
    joined(2, [], true);
    ban(2, ANA.id);
    expect(talk.standing).toMatchObject({ banned: false });
  });

  it.each<[string, number | null, number | null]>([
    ['banned_here', null, null],
    ['timed_out', 5_000, NOW + 5_000],
  ])('learns from a refusal that it is banned (%s)', (code, wait, until) => {
    speaking();
    standAs('viewer');
    talk.say('hello', null, 'c1', now);
    did();
    no('say:c1', code, wait);
    expect(talk.standing).toEqual({ role: 'viewer', banned: true, bannedUntil: until });
    expect(did()).toEqual([`return hello: ${code}`]);
  });

  it('learns from its own message that it keeps order now', () => {
    speaking();
    standAs('viewer');
    talk.say('hello', null, 'c1', now);
    ok('say:c1', line(2, { user: { ...ANA, badges: ['moderator'] } }));
    expect(talk.standing).toMatchObject({ role: 'moderator' });
  });

  it.each([
    ['viewer', 10, NOW + 10_000],
    ['viewer', 0, -Infinity],
    ['moderator', 10, -Infinity],
  ])('as a %s waits in slow mode of %i s', (role, slowSeconds, until) => {
    speaking();
    standAs(role);
    const settings = { ...ANYTHING_GOES, slowSeconds };
    server('chat_settings', { epoch: 1, offset: 2, settings });
    expect(talk.slowUntil).toBe(-Infinity);
    talk.say('hello', null, 'c1', now);
    ok('say:c1', line(3, { user: { ...ANA, badges: role === 'moderator' ? ['moderator'] : [] } }));
    expect(talk.slowUntil).toBe(until);
    server('chat_settings', { epoch: 1, offset: 4, settings: ANYTHING_GOES });
    expect(talk.slowUntil).toBe(-Infinity);
  });

  it('bans somebody, and says why it could not', () => {
    talk.ban(BOB.id, 600, null);
    expect(did()).toEqual(['tell']);
    speaking();
    talk.ban(BOB.id, null, 'spam');
    const [effect] = talk.take();
    expect(effect?.do === 'send' && JSON.parse(effect.frame)).toEqual({
      event: 'timeout_user',
      data: { userId: BOB.id, durationSeconds: null, reason: 'spam' },
      id: `ban:${BOB.id}`,
    });
    ok(`ban:${BOB.id}`);
    expect(did()).toEqual([]);
    no(`ban:${BOB.id}`, 'forbidden');
    expect(talk.take()).toMatchObject([{ do: 'tell', refusal: { code: 'protected' } }]);
  });

  it('keeps what a reader reads, and five hundred lines of what nobody does', () => {
    speaking(lines(1, 50));
    talk.reading(true);
    for (let offset = 51; offset <= 600; offset += 1) server('new_message', line(offset));
    expect(talk.room.lines).toHaveLength(600);
    talk.reading(false);
    expect(talk.room.lines).toHaveLength(500);
  });

  it('rests while its page is put away', () => {
    speaking();
    talk.rest();
    expect(did()).toEqual(['close']);
    tickAt(now + 600_000, 500_000);
    expect(did()).toEqual([]);
    talk.start(now);
    expect(did()).toEqual(['open 1.1']);
  });
});
