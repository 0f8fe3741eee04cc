import { expect, it } from 'vitest';
import { Conversation } from './conversation.ts';
import type { Line } from './frames.ts';
import { ANA, BOB, NOW } from './made-up-lines.ts';

/** The same numbers for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

type Event = { event: string; data: Record<string, unknown> };

/** A server as docs/realtime.md has it, that remembers few events and may start anew. */
class Server {
  epoch = 1;
  offset = 0;
  lines: Line[] = [];
  #events: Event[] = [];
  #names = new Map<string, Line>();
  /** What is on its way to the one client. */
  wire: string[] = [];
  #connected = false;
  #speaks = false;

  constructor(private readonly clock: () => number) {}

  open(since: string | null): void {
    this.cut();
    this.#connected = true;
    const [epoch, offset] = (since ?? '0.0').split('.').map(Number);
    const first = this.offset - this.#events.length;
    const recovered = epoch === this.epoch && offset !== undefined && offset >= first;
    const messages = recovered ? [] : this.lines.slice(-50);
    this.#send('joined', { epoch: this.epoch, offset: this.offset, recovered, messages });
    if (recovered) for (const { event, data } of this.#events.slice(offset - first)) this.#send(event, data);
  }

  cut(): void {
    this.wire = [];
    this.#connected = this.#speaks = false;
  }

  startAnew(): void {
    this.cut();
    this.epoch += 1;
    this.offset = 0;
    this.#events = [];
    this.#names.clear();
  }

  take(frame: string, randomly: () => number): void {
    const { event, data, id } = JSON.parse(frame) as Event & { id: string };
    const answer = (answered: unknown) => {
      // Answers overtake what the room tells.
      const text = JSON.stringify({ event: 'ack', data: answered, id });
      this.wire.splice(Math.floor(randomly() * (this.wire.length + 1)), 0, text);
    };
    if (event === 'authenticate') {
      this.#speaks = true;
      answer({ ok: true });
    } else if (event === 'send_message' && this.#speaks) {
      const name = String(data['clientMsgId']);
      const known = this.#names.get(name);
      const line = known ?? this.say(ANA, String(data['message']), false);
      this.#names.set(name, line);
      answer({ ok: true, message: line });
    } else answer({ ok: false, code: 'malformed', detail: '' });
  }

  say(user: typeof ANA, message: string, tell = true): Line {
    this.offset += 1;
    const line: Line = {
      epoch: this.epoch,
      offset: this.offset,
      id: `${this.epoch}-${this.offset}`,
      user,
      message,
      timestamp: new Date(this.clock()).toISOString(),
      replyTo: null,
    };
    this.lines.push(line);
    this.#happen('new_message', { ...line }, tell);
    return line;
  }

  remove(line: Line): void {
    this.offset += 1;
    this.lines = this.lines.filter((other) => other !== line);
    this.#happen('message_deleted', { epoch: this.epoch, offset: this.offset, id: line.id }, true);
  }

  ban({ id, username }: typeof ANA): void {
    this.offset += 1;
    this.lines = this.lines.filter(({ user }) => user.id !== id);
    const position = { epoch: this.epoch, offset: this.offset };
    this.#happen('user_banned', { ...position, userId: id, username, durationSeconds: 60 }, true);
  }

  #happen(event: string, data: Record<string, unknown>, tell: boolean): void {
    this.#events = [...this.#events, { event, data }].slice(-20);
    if (tell) this.#send(event, data);
  }

  #send(event: string, data: unknown): void {
    if (this.#connected) this.wire.push(JSON.stringify({ event, data }));
  }
}

it.each(Array.from({ length: 60 }, (_, seed) => seed))(
  'loses and doubles nothing, whatever breaks when (%i)',
  (seed) => {
    const random = numbers(seed);
    let now = NOW;
    const server = new Server(() => now);
    const talk = new Conversation();
    const given: string[] = [];
    let said = 0;

    const act = (happen: () => void) => {
      happen();
      for (const effect of talk.take()) {
        if (effect.do === 'open') server.open(effect.since);
        else if (effect.do === 'close') server.cut();
        else if (effect.do === 'send') server.take(effect.frame, random);
        else if (effect.do === 'return') given.push(effect.message);
        else if (effect.do === 'token') act(() => talk.token({ value: 't', renewAt: Infinity }, now));
      }
    };
    const hearOne = () => {
      const text = server.wire.shift();
      if (text !== undefined) act(() => talk.heard(text, now));
    };

    act(() => talk.start(now));
    act(() => talk.account(ANA.id, now));
    for (let step = 0; step < 400; step += 1) {
      now += Math.floor(random() * 400);
      const dice = random();
      if (dice < 0.45) hearOne();
      else if (dice < 0.65) server.say(BOB, `bob ${step}`);
      else if (dice < 0.72 && talk.room.pending.length === 0) {
        said += 1;
        act(() => talk.say(`ana ${said}`, null, `c${said}`, now));
      } else if (dice < 0.76 && server.lines.length > 0) {
        const line = server.lines[Math.floor(random() * server.lines.length)];
        if (line !== undefined) server.remove(line);
      } else if (dice < 0.79) {
        server.cut();
        act(() => talk.closed(1006, now, random()));
      } else if (dice < 0.8) {
        server.startAnew();
        act(() => talk.closed(1001, now, random()));
      } else if (dice > 0.995) server.ban(BOB);
      else if (dice < 0.81) act(() => talk.tick(now, 600_000, random()));
      else act(() => talk.tick(now, 0, random()));
    }
    // Everything calms down.
    server.say(BOB, 'bob at last');
    for (let step = 0; step < 200; step += 1) {
      now += 1_000;
      act(() => talk.tick(now, 0, random()));
      for (let heard = 0; heard < 50; heard += 1) hearOne();
    }

    const shown = talk.room.lines.map(({ id }) => id);
    expect(shown).toEqual(server.lines.map(({ id }) => id).slice(-shown.length));
    expect(shown.length).toBeGreaterThanOrEqual(Math.min(server.lines.length, 20));
    expect(talk.room.pending).toEqual([]);
    const mine = server.lines.filter(({ user }) => user.id === ANA.id).map(({ message }) => message);
    expect(new Set(mine).size).toBe(mine.length);
    expect(given).toEqual([]);
  },
);
