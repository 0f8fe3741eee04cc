import { setTimeout as passed } from 'node:timers/promises';

import { io, type Socket } from 'socket.io-client';
import { WebSocket } from 'ws';

import { ChatRecord, type Joined, type Line } from './chat-record.ts';

/** What the server answers a request with. */
interface Answer {
  ok: boolean;
  code?: string;
  detail?: string;
  retryAfterMs?: number;
  message?: Line;
}

/** Data of any event of a room. */
type Told = Line & Joined & { code?: string };

/**
 * A program in a room, as docs/realtime.md wants it: it comes back with what it has heard, and says again under the same name what
 * was not answered.
 */
export abstract class ChatClient {
  readonly record = new ChatRecord();
  /** What it was promised, in its order. */
  readonly accepted: Line[] = [];
  /** Why it was sent away, each time. */
  readonly endings: string[] = [];
  /** What it was answered last, where that was no. */
  refusal: string | undefined;
  protected readonly stream: string;
  protected readonly token: string | undefined;
  protected isOver = false;

  constructor(stream: string, token?: string) {
    this.stream = stream;
    this.token = token;
  }

  /** Where it is now. */
  abstract readonly base: string;

  /** Says it until it is accepted. */
  async says(text: string, name: string): Promise<void> {
    for (;;) {
      const answer = await this.ask('send_message', { streamId: this.stream, message: text, clientMsgId: name });
      if (answer?.ok && answer.message) {
        this.accepted.push(answer.message);
        this.refusal = undefined;
        return;
      }
      this.refusal = answer ? JSON.stringify(answer) : 'no answer';
      if (answer?.code === 'unauthenticated') await this.ask('authenticate', { token: this.token });
      else if (answer && !MAY_PASS.has(answer.code ?? '')) throw new Error(JSON.stringify(answer));
      await passed(answer?.retryAfterMs ?? AGAIN_MS);
    }
  }

  abstract close(): void;

  /** Undefined where no answer came. */
  protected abstract ask(event: string, data: object): Promise<Answer | undefined>;

  /** Comes back with `since`. */
  protected abstract comeBack(): void;

  /** At once: events that follow an answer may be there before a promise has told of it. */
  protected takes(answer: Answer | undefined): Answer | undefined {
    if (answer?.ok && answer.message) this.record.isAnswered(answer.message);
    return answer;
  }

  protected joins(joined: Joined): void {
    if (this.record.joins(joined)) void this.readsHistory();
  }

  protected hears(event: string, data: Told): void {
    if (event === 'resync') {
      this.record.resyncs(data);
      void this.readsHistory();
    } else if (data.epoch !== undefined && !this.record.hears(data, event === 'new_message' ? data : undefined)) {
      this.comeBack();
    }
  }

  /** All of it: what this client has missed may lie anywhere. */
  protected async readsHistory(): Promise<void> {
    while (!this.isOver) {
      try {
        for (const line of await history(this.base, this.stream)) this.record.knows(line);
        return;
      } catch {
        await passed(AGAIN_MS);
      }
    }
  }
}

/** A plain WebSocket; where its replica is gone it goes to another one, as a load balancer would have it. */
export class RawChatClient extends ChatClient {
  readonly #replicas: string[];
  #replica: number;
  #socket: WebSocket | undefined;
  #frames = 0;
  readonly #waiting = new Map<number, (answer: Answer | undefined) => void>();

  constructor(replicas: string[], first: number, stream: string, token?: string) {
    super(stream, token);
    this.#replicas = replicas;
    this.#replica = first;
    this.#connect();
  }

  get base(): string {
    return this.#replicas[this.#replica % this.#replicas.length] ?? '';
  }

  close(): void {
    this.isOver = true;
    this.#socket?.close();
  }

  protected ask(event: string, data: object): Promise<Answer | undefined> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.resolve(undefined);
    const id = (this.#frames += 1);
    return new Promise((resolve) => {
      const given = (answer: Answer | undefined) => {
        clearTimeout(patience);
        this.#waiting.delete(id);
        resolve(answer);
      };
      const patience = setTimeout(() => given(undefined), PATIENCE_MS);
      this.#waiting.set(id, given);
      socket.send(JSON.stringify({ event, data, id }));
    });
  }

  protected comeBack(): void {
    this.#socket?.terminate();
  }

  #connect(): void {
    if (this.isOver) return;
    const { since } = this.record;
    const query = since === undefined ? '' : `?since=${since}`;
    const socket = new WebSocket(`${this.base.replace(/^http/, 'ws')}/ws/chat/${this.stream}${query}`, { handshakeTimeout: PATIENCE_MS });
    this.#socket = socket;
    socket.on('open', () => {
      if (this.token) void this.ask('authenticate', { token: this.token });
    });
    socket.on('message', (text: Buffer) => {
      const { event, id, data } = JSON.parse(text.toString()) as { event: string; id?: number; data: Told & Answer };
      if (event === 'ack') this.#waiting.get(id ?? Number.NaN)?.(this.takes(data));
      else if (event === 'joined') this.joins(data);
      // What a connection tells that was given up already is not taken twice.
      else if (socket.readyState === WebSocket.OPEN) this.hears(event, data);
    });
    socket.on('error', () => {});
    socket.on('close', (code) => {
      for (const given of this.#waiting.values()) given(undefined);
      this.endings.push(String(code));
      this.#replica += 1;
      setTimeout(() => this.#connect(), BACK_MS);
    });
  }
}

/** The official client of Socket.IO, which stays with its replica. */
export class SocketIoChatClient extends ChatClient {
  readonly base: string;
  readonly #socket: Socket;

  constructor(base: string, stream: string, token?: string) {
    super(stream, token);
    this.base = base;
    this.#socket = io(base, {
      forceNew: true,
      transports: ['websocket'],
      reconnectionDelay: BACK_MS,
      reconnectionDelayMax: AGAIN_MS,
      auth: { token },
    });
    this.#socket.on('connect', () => this.#enter());
    this.#socket.on('disconnect', (reason) => {
      this.endings.push(reason);
      // After which the official client does not come back by itself.
      if (reason.startsWith('io ') && !this.isOver) setTimeout(() => this.#socket.connect(), BACK_MS);
    });
    this.#socket.onAny((event: string, data: Told) => this.hears(event, data));
  }

  close(): void {
    this.isOver = true;
    this.#socket.disconnect();
  }

  protected ask(event: string, data: object): Promise<Answer | undefined> {
    if (!this.#socket.connected) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#socket.timeout(PATIENCE_MS).emit(event, data, (late: Error | null, answer: Answer) => resolve(late ? undefined : this.takes(answer)));
    });
  }

  protected comeBack(): void {
    this.#socket.disconnect();
  }

  #enter(): void {
    const asked = { streamId: this.stream, since: this.record.since };
    this.#socket.timeout(PATIENCE_MS).emit('join_stream', asked, (late: Error | null, answer: Answer & Joined) => {
      if (!late && answer.ok) this.joins(answer);
      else if (this.#socket.connected) setTimeout(() => this.#socket.connected && this.#enter(), AGAIN_MS);
    });
  }
}

/** Everything that was said in a room, the oldest first. */
export async function history(base: string, stream: string): Promise<Line[]> {
  const lines: Line[] = [];
  let next: string | undefined = `/api/chat/${stream}?limit=100`;
  while (next) {
    const answer: Response = await fetch(new URL(next, base));
    if (!answer.ok) throw new Error(`${next}: ${answer.status} ${await answer.text()}`);
    lines.push(...((await answer.json()) as Line[]));
    next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return lines.reverse();
}

/** After which another try may be accepted. */
const MAY_PASS = new Set(['too_fast', 'unavailable', 'overloaded', 'room_busy', 'timed_out']);
const PATIENCE_MS = 10_000;
/** Seldom enough for the number of frames that a socket may send. */
const AGAIN_MS = 1_000;
const BACK_MS = 200;
