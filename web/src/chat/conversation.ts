import type { LiveToken } from '../api/session.ts';
import { readFrame, writeFrame, type Line, type Position, type Refusal, type ServerFrame } from './frames.ts';
import { afterEnd, type End } from './reconnect.ts';
import {
  accepted,
  dropped,
  EMPTY_ROOM,
  hear,
  isCaughtUp,
  pended,
  sinceOf,
  trimmed,
  withLatest,
  without,
  withOlder,
  type Pending,
  type Room,
} from './room.ts';
import { banned, moderates, roleOf, unbanned, type Standing } from './standing.ts';

/** What the shell around a conversation is to do. */
export type Effect =
  /** Opens a socket, in place of the one before it. */
  | { do: 'open'; since: string | null }
  | { do: 'close' }
  | { do: 'send'; frame: string }
  /** Asks for an access token that is not `rejected`, and answers with `token` or `tokenFailed`. */
  | { do: 'token'; rejected: string | null }
  /** Reads the latest page of the history, and answers with `history` or `historyFailed`. */
  | { do: 'history' }
  /** A message was not sent: its text goes back to whoever wrote it. */
  | { do: 'return'; message: string; replyTo: string | null; refusal: Refusal }
  /** A message could not be removed, or nobody banned. */
  | { do: 'tell'; refusal: Refusal };

export type Link = 'connecting' | 'joined' | 'waiting' | 'offline' | 'resting' | 'over';

type Judgement = Extract<ServerFrame, { event: 'user_banned' | 'user_unbanned' | 'role_changed' }>;

/** Whether the server knows on this connection who talks. */
export type Speaking = 'no' | 'asking' | 'yes';

/**
 * One viewer in one room, across connections: when to come back, who talks, and what of their own messages is on its
 * way. All times are milliseconds since 1970, because a machine that sleeps stops the other clock.
 */
export class Conversation {
  room: Room = EMPTY_ROOM;
  link: Link = 'resting';
  speaking: Speaking = 'no';
  /** What the server last said of whoever talks; `null` while it has said nothing. */
  standing: Standing | null = null;

  #effects: Effect[] = [];
  #me: string | null = null;
  /** Connections in a row that did not last. */
  #attempt = 0;
  #openedAt = 0;
  #retryAt = 0;
  #error: string | null = null;
  #heardAt = 0;
  /** A probe that waits for any word of the server. */
  #probedAt: number | null = null;
  #token: LiveToken | null = null;
  #rejected: string | null = null;
  #authAttempts = 0;
  /** When to authenticate (again). */
  #authAt: number | null = null;
  /** Those of `room.pending` that were sent on this connection, and when. */
  readonly #sent = new Map<string, number>();
  /** When the last message of mine was taken. */
  #saidAt = -Infinity;
  /** When to read the history anew, and up to where it replaces what is known. */
  #historyAt: number | null = null;
  #historyUntil: Position | null = null;
  /** Readers who have scrolled up keep what they read. */
  #keep = USUAL_LINES;

  /** What is to be done since the last call, in its order. */
  take(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** When `tick` wants to be called, at the latest. */
  wakeAt(now: number): number {
    let at = now + LOOK_MS;
    if (this.link === 'waiting' || this.link === 'offline') at = Math.min(at, this.#retryAt);
    if (this.link === 'joined' && this.#authAt !== null) at = Math.min(at, this.#authAt);
    if (this.#historyAt !== null) at = Math.min(at, this.#historyAt);
    return Math.max(at, now);
  }

  /** Until when slow mode takes no other message of mine; in the past where there is nothing to wait for. */
  get slowUntil(): number {
    const seconds = this.room.settings?.slowSeconds ?? 0;
    if (seconds === 0 || moderates(this.standing?.role ?? null)) return -Infinity;
    return this.#saidAt + seconds * 1000;
  }

  start(now: number): void {
    if (this.link === 'resting') this.#open(now);
  }

  /** The page is put away; a browser keeps no page in its history that has a socket. */
  rest(): void {
    if (this.link === 'over') return;
    this.#hangUp();
    this.link = 'resting';
  }

  heard(text: string, now: number): void {
    this.#heardAt = now;
    this.#probedAt = null;
    const frame = readFrame(text);
    if (frame === null) return;
    if (frame.event === 'error') this.#error = frame.code;
    else if (frame.event === 'ack') this.#answered(frame, now);
    const stood = this.room;
    const { room, need } = hear(stood, frame, this.#me);
    this.room = trimmed(room, this.#keep);
    if (frame.event === 'joined') this.#joined(now);
    else if (isJudgement(frame) && this.room.notes !== stood.notes) this.#judged(frame, now);
    if (need === 'replay') this.#lost(now, 0);
    else if (need === 'history') {
      this.#historyUntil = this.room.position;
      this.#historyAt = now;
    }
    this.#flush(now);
    this.#readHistory(now);
  }

  closed(code: number, now: number, random: number): void {
    this.#end({ code, error: this.#error }, now, random);
  }

  /** Looks at everything that takes too long. `late` is how long after `wakeAt` this comes. */
  tick(now: number, late: number, random: number): void {
    const connected = this.link === 'connecting' || this.link === 'joined';
    if (connected && late > SLEPT_MS) {
      // The machine slept, or the browser froze the page: whatever the socket looks like, the server has let go of it.
      this.#lost(now, 0);
    } else if (this.link === 'connecting') {
      if (now - this.#openedAt > CONNECT_MS) this.#end(NO_ANSWER, now, random);
    } else if (this.link === 'waiting' || this.link === 'offline') {
      // A clock that was set back must not keep anybody waiting.
      if (now >= this.#retryAt || this.#retryAt - now > LONGEST_WAIT_MS) this.#open(now);
    } else if (this.link === 'joined') {
      this.#watch(now, random);
    }
    this.#readHistory(now);
  }

  /** The network is back: what was open before it went is another network's. */
  online(now: number): void {
    if (this.link === 'waiting' || this.link === 'offline') this.#open(now);
    else if (this.link === 'joined' || this.link === 'connecting') this.#lost(now, 0);
  }

  offline(now: number): void {
    if (this.link === 'waiting') {
      this.link = 'offline';
      // Browsers are wrong about this now and then.
      this.#retryAt = now + OFFLINE_MS;
    } else if (this.link === 'joined') this.#probe(now);
  }

  /** Somebody looks at the page again. */
  shown(now: number): void {
    if (this.link === 'waiting' || this.link === 'offline') this.#open(now);
    else if (this.link === 'joined' && now - this.#heardAt > FRESH_MS) this.#probe(now);
  }

  /** Who is logged in; `null` for nobody. */
  account(me: string | null, now: number): void {
    if (me === this.#me) return;
    const spoke = this.speaking !== 'no';
    this.#me = me;
    // What one person wrote is not said in another's name.
    this.room = { ...this.room, pending: [] };
    this.#sent.clear();
    this.#token = null;
    this.#rejected = null;
    this.#authAttempts = 0;
    this.#authAt = null;
    this.speaking = 'no';
    this.standing = null;
    this.#saidAt = -Infinity;
    // A socket cannot take back who it belongs to.
    if (me === null && spoke && this.link === 'joined') this.#lost(now, 0);
    else this.#authenticate();
  }

  token(token: LiveToken | null, now: number): void {
    if (this.#me === null || this.link !== 'joined') return;
    if (token === null) {
      this.speaking = 'no';
      this.#authAt = now + AUTH_PAUSE_MS;
      return;
    }
    this.#token = token;
    this.#send('authenticate', { token: token.value }, AUTH);
  }

  tokenFailed(now: number): void {
    this.#authAt = now + AUTH_PAUSE_MS;
  }

  /** Says something now, or once that is possible. */
  say(message: string, replyTo: string | null, clientMsgId: string, now: number): void {
    this.room = pended(this.room, { clientMsgId, message, replyTo, since: now });
    this.#flush(now);
  }

  remove(id: string): void {
    if (this.link === 'joined' && this.speaking === 'yes') this.#send('delete_message', { id }, DELETE + id);
    else this.#effects.push({ do: 'tell', refusal: NOT_CONNECTED });
  }

  /** What is on the screen now, by the stream's clock: the server's own tells how late that is. */
  watching(playhead: string): void {
    if (this.link === 'joined') this.#send('watching', { playhead }, WATCHING);
  }

  /** Keeps somebody from talking for so long; `null` is for good. That it is done comes as an event. */
  ban(userId: string, durationSeconds: number | null, reason: string | null): void {
    if (this.link !== 'joined' || this.speaking !== 'yes') {
      this.#effects.push({ do: 'tell', refusal: NOT_CONNECTED });
      return;
    }
    const data = { userId, durationSeconds, ...(reason === null ? {} : { reason }) };
    this.#send('timeout_user', data, BAN + userId);
  }

  /** The latest page, the oldest first. */
  history(lines: readonly Line[]): void {
    this.room = withLatest(this.room, lines, this.#historyUntil, this.#me);
  }

  historyFailed(now: number): void {
    this.#historyAt = now + HISTORY_PAUSE_MS;
  }

  /** A page of what was said before. */
  older(lines: readonly Line[]): void {
    this.#keep = MOST_LINES;
    this.room = withOlder(this.room, lines);
  }

  /** Whether the reader has scrolled up: what they read must not go away. */
  reading(up: boolean): void {
    this.#keep = up ? MOST_LINES : USUAL_LINES;
    this.room = trimmed(this.room, this.#keep);
  }

  #joined(now: number): void {
    this.link = 'joined';
    this.#openedAt = now;
    this.#authAttempts = 0;
    this.#authenticate();
  }

  #authenticate(): void {
    this.#authAt = null;
    if (this.#me === null || this.link !== 'joined') return;
    if (this.speaking === 'no') this.speaking = 'asking';
    this.#effects.push({ do: 'token', rejected: this.#rejected });
  }

  #answered(ack: Extract<ServerFrame, { event: 'ack' }>, now: number): void {
    if (ack.id === AUTH) {
      if (ack.refusal === null) this.standing = ack.standing;
      this.#authenticated(ack.refusal, now);
    } else if (ack.id.startsWith(SEND)) this.#said(ack.id.slice(SEND.length), ack, now);
    else if (ack.id.startsWith(DELETE)) {
      const id = ack.id.slice(DELETE.length);
      if (ack.refusal === null || ack.refusal.code === 'not_found') this.room = without(this.room, id);
      else this.#effects.push({ do: 'tell', refusal: ack.refusal });
    } else if (ack.id.startsWith(BAN) && ack.refusal !== null) {
      const { code } = ack.refusal;
      // The same code as for messages means something else here.
      this.#effects.push({
        do: 'tell',
        refusal: { ...ack.refusal, code: code === 'forbidden' ? 'protected' : code },
      });
    }
  }

  /** Somebody was banned, may talk again, or is something else here. What is replayed is older than what the answer to `authenticate` will say. */
  #judged(frame: Judgement, now: number): void {
    if (this.standing === null || frame.userId !== this.#me) return;
    if (frame.position.offset <= this.room.target) return;
    if (frame.event === 'role_changed') this.standing = { ...this.standing, role: frame.role };
    else if (frame.event === 'user_banned') {
      this.standing = banned(this.standing, frame.durationSeconds, now);
    } else this.standing = unbanned(this.standing);
  }

  /** An answer to my message says what I am here, which may have changed since I came. */
  #stands(ack: Extract<ServerFrame, { event: 'ack' }>, now: number): void {
    const { refusal, line } = ack;
    if (refusal === null) {
      this.#saidAt = now;
      if (line !== null && this.standing !== null) {
        this.standing = { ...unbanned(this.standing), role: roleOf(line.user.badges) };
      }
    } else if (this.standing !== null && BANNED.has(refusal.code)) {
      const seconds = refusal.retryAfterMs === null ? null : refusal.retryAfterMs / 1000;
      this.standing = banned(this.standing, refusal.code === 'banned_here' ? null : seconds, now);
    }
  }

  #authenticated(refusal: Refusal | null, now: number): void {
    if (refusal === null) {
      this.speaking = 'yes';
      this.#rejected = null;
      this.#authAttempts = 0;
      this.#authAt = this.#token?.renewAt ?? null;
      return;
    }
    this.speaking = 'no';
    if (TOKEN_REFUSED.has(refusal.code)) this.#tokenRefused(now);
    else this.#authAt = now + AUTH_PAUSE_MS;
  }

  /** Once with another token at once; whoever is refused that too is asked again later. */
  #tokenRefused(now: number): void {
    this.#rejected = this.#token?.value ?? null;
    this.#authAttempts += 1;
    if (this.#authAttempts > 1) this.#authAt = now + AUTH_PAUSE_MS;
    else this.#authenticate();
  }

  #said(clientMsgId: string, ack: Extract<ServerFrame, { event: 'ack' }>, now: number): void {
    this.#sent.delete(clientMsgId);
    this.#stands(ack, now);
    const mine = this.room.pending.find((pending) => pending.clientMsgId === clientMsgId);
    if (ack.refusal === null) this.room = accepted(this.room, clientMsgId, ack.line);
    else if (mine === undefined) return;
    else if (TOKEN_REFUSED.has(ack.refusal.code) && this.#authAttempts === 0) {
      // It waits for the next token.
      this.speaking = 'asking';
      this.#tokenRefused(now);
    } else this.#giveBack(mine, ack.refusal);
  }

  #giveBack(mine: Pending, refusal: Refusal): void {
    this.room = dropped(this.room, mine.clientMsgId);
    this.#sent.delete(mine.clientMsgId);
    this.#effects.push({ do: 'return', message: mine.message, replyTo: mine.replyTo, refusal });
  }

  /** Sends what waits, once it is certain that it was not said on an earlier connection. */
  #flush(now: number): void {
    if (this.link !== 'joined' || this.speaking !== 'yes' || !isCaughtUp(this.room)) return;
    for (const mine of this.room.pending) {
      if (this.#sent.has(mine.clientMsgId)) continue;
      if (now - mine.since > RESEND_MS) {
        this.#giveBack(mine, TOO_LATE);
        continue;
      }
      const { clientMsgId, message, replyTo } = mine;
      this.#sent.set(clientMsgId, now);
      this.#send('send_message', { message, clientMsgId, replyTo }, SEND + clientMsgId);
    }
  }

  /** A connection that looks alive may have been dead for long: the network says nothing when it loses one. */
  #watch(now: number, random: number): void {
    const unanswered = [...this.#sent.values()].some((at) => now - at > ANSWER_MS);
    if (unanswered || (this.#probedAt !== null && now - this.#probedAt > ANSWER_MS)) {
      this.#end(NO_ANSWER, now, random);
      return;
    }
    if (now - this.#heardAt > QUIET_MS) this.#probe(now);
    if (this.#authAt !== null && now >= this.#authAt) {
      this.#authAttempts = 0;
      this.#authenticate();
    }
  }

  #probe(now: number): void {
    if (this.#probedAt !== null) return;
    this.#probedAt = now;
    // Pages do not see the server's own pings. Whatever it says, it is there.
    this.#send('ping', {}, PROBE);
  }

  #end(end: End, now: number, random: number): void {
    if (this.link !== 'connecting' && this.link !== 'joined') return;
    if (this.link === 'joined' && now - this.#openedAt > STABLE_MS) this.#attempt = 0;
    const next = afterEnd(end, this.#attempt, random);
    if (next.kind === 'never') {
      this.#hangUp();
      this.link = 'over';
      return;
    }
    if (next.spoilt === 'token') this.#rejected = this.#token?.value ?? null;
    if (next.spoilt === 'frame') {
      for (const mine of this.room.pending)
        if (this.#sent.has(mine.clientMsgId)) this.#giveBack(mine, REFUSED);
    }
    this.#lost(now, next.ms);
  }

  /** Comes back in `ms`, from where this connection ended. */
  #lost(now: number, ms: number): void {
    const lasted = this.link === 'joined' && now - this.#openedAt > STABLE_MS;
    this.#hangUp();
    // Whatever the reason: connections that do not last are not opened in a tight loop.
    const wait = lasted || this.#attempt === 0 ? ms : Math.max(ms, AGAIN_MS);
    this.#attempt = lasted ? 1 : this.#attempt + 1;
    this.link = 'waiting';
    this.#retryAt = now + wait;
    if (wait === 0) this.#open(now);
  }

  #open(now: number): void {
    this.link = 'connecting';
    this.#openedAt = now;
    this.#heardAt = now;
    this.#error = null;
    this.#effects.push({ do: 'open', since: sinceOf(this.room) });
  }

  #hangUp(): void {
    this.#effects.push({ do: 'close' });
    this.#sent.clear();
    this.#probedAt = null;
    this.#authAt = null;
    this.speaking = 'no';
    // What the next server says is nearer to the truth than what this one said last.
    this.room = { ...this.room, viewers: null };
  }

  #readHistory(now: number): void {
    if (this.#historyAt === null || now < this.#historyAt) return;
    this.#historyAt = null;
    this.#effects.push({ do: 'history' });
  }

  #send(event: string, data: Record<string, unknown>, id: string): void {
    this.#effects.push({ do: 'send', frame: writeFrame(event, data, id) });
  }
}

const isJudgement = (frame: ServerFrame): frame is Judgement =>
  frame.event === 'user_banned' || frame.event === 'user_unbanned' || frame.event === 'role_changed';

const AUTH = 'auth';
const PROBE = 'probe';
const WATCHING = 'watching';
const SEND = 'say:';
const DELETE = 'delete:';
const BAN = 'ban:';
const BANNED = new Set(['banned_here', 'timed_out']);
const TOKEN_REFUSED = new Set(['unauthenticated', 'token_invalid', 'token_expired', 'session_revoked']);
const NO_ANSWER: End = { code: 1006, error: null };

const refusal = (code: string, detail: string): Refusal => ({ code, detail, retryAfterMs: null });
const NOT_CONNECTED = refusal('not_connected', 'chat is not connected just now');
const TOO_LATE = refusal('too_late', 'the connection was away for too long');
const REFUSED = refusal('refused', 'the server did not understand it');

/** Nobody scrolls back further without asking for older messages. */
const USUAL_LINES = 500;
/** While somebody reads what is older. */
export const MOST_LINES = 2_000;
/** A line that comes later answers nobody. The server remembers a message's name for ten minutes. */
const RESEND_MS = 120_000;
/** A message takes some milliseconds; mobile networks pause for seconds. */
const ANSWER_MS = 10_000;
const CONNECT_MS = 15_000;
/** Of silence until the server is asked whether it is there: rooms may be quiet, and browsers do not show its pings. */
const QUIET_MS = 60_000;
/** Since its last word, when somebody looks at the page again. */
const FRESH_MS = 15_000;
/** Browsers call timers of hidden pages once a minute; what is later than this slept. */
const SLEPT_MS = 150_000;
/** A connection that held so long was a good one. */
const STABLE_MS = 10_000;
const AGAIN_MS = 1_000;
const OFFLINE_MS = 30_000;
/** Longer than `afterEnd` ever asks for. */
const LONGEST_WAIT_MS = 60_000;
const AUTH_PAUSE_MS = 10_000;
const HISTORY_PAUSE_MS = 5_000;
const LOOK_MS = 5_000;
