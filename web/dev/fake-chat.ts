import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { userOf } from './fake-api.ts';
import { send } from './fake-live.ts';
import { FakeModeration } from './fake-moderation.ts';

interface Message {
  epoch: number;
  offset: number;
  id: string;
  streamId: string;
  user: { id: string; username: string; displayName: string | null; avatar: null; badges: string[] };
  message: string;
  timestamp: string;
  replyTo: string | null;
}

interface Somebody {
  id: string;
  username: string;
}

interface Frame {
  event: string;
  data: {
    token?: string;
    message?: string;
    replyTo?: string;
    id?: string;
    userId?: string;
    durationSeconds?: number | null;
    reason?: string;
  };
  id?: string;
}

/**
 * One room for all streams, in memory: some people talk now and then, and whoever is logged in talks with them. It checks
 * nothing but the pace and what moderators have decided, always begins anew, and speaks just enough of RFC 6455 for short texts.
 */
export class FakeChat {
  readonly #epoch = Date.now();
  readonly #sockets = new Set<Duplex>();
  readonly #moderation = new FakeModeration((event, data) => this.#happen(event, data));
  #messages: Message[] = [];
  #offset = 0;

  constructor() {
    for (const [index, text] of Array.from(
      { length: 120 },
      (_, n) => LINES[n % LINES.length] ?? '',
    ).entries()) {
      this.#say(madeUp(index * 3), text);
    }
    setInterval(() => {
      const at = Math.floor(Math.random() * LINES.length);
      const somebody = madeUp(at);
      if (this.#moderation.refusal(somebody.id, '') !== null) return;
      this.#tell('new_message', this.#say(somebody, LINES[at] ?? ''));
    }, 4_000).unref();
  }

  attachTo(server: Server): void {
    server.on('upgrade', (req, socket) => {
      if (req.url?.startsWith('/ws/chat/')) this.#enter(req, socket);
      // Notifications are not made up.
      else if (req.url?.startsWith('/ws/')) socket.destroy();
    });
  }

  async answer(req: IncomingMessage, res: ServerResponse, url: URL): Promise<boolean> {
    if (await this.#moderation.answer(req, res, url)) return true;
    const streamId = /^\/api\/chat\/([^/]+)$/.exec(url.pathname)?.[1];
    if (streamId === undefined) return false;
    const limit = Number(url.searchParams.get('limit') ?? 50);
    const before = Number(url.searchParams.get('cursor') ?? Infinity);
    const older = this.#messages.filter(({ offset }) => offset < before).reverse();
    const page = older.slice(0, limit);
    if (older.length > limit) {
      res.setHeader(
        'link',
        `</api/chat/${streamId}?limit=${limit}&cursor=${page.at(-1)?.offset}>; rel="next"`,
      );
    }
    send(res, 200, 'application/json', JSON.stringify(page));
    return true;
  }

  #enter(req: IncomingMessage, socket: Duplex): void {
    const key = req.headers['sec-websocket-key'] ?? '';
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const at = { epoch: this.#epoch, offset: this.#offset };
    write(socket, 'joined', {
      ...at,
      recovered: false,
      viewerCount: 128,
      messages: this.#messages.slice(-50),
      settings: this.#moderation.settings,
    });
    let me: Somebody | null = null;
    let saidAt = 0;
    let rest = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      for (;;) {
        const read = readText(rest);
        if (read === null) return;
        rest = read.rest;
        if (read.text === null) return void socket.end();
        const { event, data, id } = JSON.parse(read.text) as Frame;
        const refuse = (code: string, retryAfterMs?: number) =>
          write(socket, 'ack', { ok: false, code, detail: code, retryAfterMs }, id);
        if (event === 'authenticate') {
          me = userOf(data.token ?? '');
          if (me === null) refuse('token_expired');
          else write(socket, 'ack', { ok: true, self: this.#moderation.standing(me.id) }, id);
        } else if (event === 'send_message' && me !== null) {
          const wait = saidAt + PACE_MS - Date.now();
          const refusal = this.#moderation.refusal(me.id, data.message ?? '', saidAt);
          if (refusal !== null) refuse(refusal.code, refusal.retryAfterMs);
          else if (wait > 0) refuse('too_fast', wait);
          else {
            saidAt = Date.now();
            const message = this.#say(me, data.message ?? '', data.replyTo ?? null);
            write(socket, 'ack', { ok: true, message }, id);
            this.#tell('new_message', message, socket);
          }
        } else if (event === 'delete_message' && me !== null) {
          const removed = this.#messages.find((message) => message.id === data.id);
          this.#messages = this.#messages.filter((message) => message !== removed);
          write(socket, 'ack', { ok: true }, id);
          this.#happen('message_deleted', { id: data.id });
          if (removed !== undefined && removed.user.id !== me.id) {
            this.#moderation.log(me, 'delete_message', removed.user);
          }
        } else if (event === 'timeout_user' && me !== null) {
          const user = this.#messages.find((message) => message.user.id === data.userId)?.user;
          if (user === undefined || !this.#moderation.moderates(me.id)) return refuse('forbidden');
          this.#moderation.ban(me, user, data.durationSeconds ?? null, data.reason ?? null);
          this.#messages = this.#messages.filter((message) => message.user.id !== data.userId);
          write(socket, 'ack', { ok: true }, id);
        } else refuse('malformed');
      }
    });
  }

  #happen(event: string, data: object): void {
    this.#offset += 1;
    this.#tell(event, { epoch: this.#epoch, offset: this.#offset, streamId: 'any', ...data });
  }

  #say({ id, username }: Somebody, message: string, replyTo: string | null = null): Message {
    this.#offset += 1;
    const said: Message = {
      epoch: this.#epoch,
      offset: this.#offset,
      id: randomUUID(),
      streamId: 'any',
      user: { id, username, displayName: null, avatar: null, badges: this.#moderation.badges(id) },
      message,
      timestamp: new Date().toISOString(),
      replyTo,
    };
    this.#messages.push(said);
    return said;
  }

  #tell(event: string, data: unknown, except?: Duplex): void {
    for (const socket of this.#sockets) if (socket !== except) write(socket, event, data);
  }
}

const madeUp = (at: number): Somebody => {
  const username = PEOPLE[at % PEOPLE.length] ?? 'ana';
  return { id: `u-${username}`, username };
};

function write(socket: Duplex, event: string, data: unknown, id?: string): void {
  const payload = Buffer.from(JSON.stringify({ event, data, id }));
  const head =
    payload.length < 126
      ? Buffer.from([0x81, payload.length])
      : payload.length < 65_536
        ? Buffer.from([0x81, 126, payload.length >> 8, payload.length & 0xff])
        : Buffer.from([0x81, 127, 0, 0, 0, 0, ...uint32(payload.length)]);
  socket.write(Buffer.concat([head, payload]));
}

/** The first frame of `bytes`, once it is whole; its text is `null` for a close. Clients mask what they send. */
function readText(bytes: Buffer): { text: string | null; rest: Buffer<ArrayBuffer> } | null {
  if (bytes.length < 6) return null;
  const short = bytes.readUInt8(1) & 0x7f;
  const start = short === 126 ? 4 : 2;
  if (bytes.length < start) return null;
  const length = short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < start + 4 + length) return null;
  const mask = bytes.subarray(start, start + 4);
  const payload = Buffer.from(bytes.subarray(start + 4, start + 4 + length));
  for (const [index, byte] of payload.entries()) payload[index] = byte ^ (mask[index % 4] ?? 0);
  const closes = (bytes.readUInt8(0) & 0x0f) === 8;
  return { text: closes ? null : payload.toString(), rest: Buffer.from(bytes.subarray(start + 4 + length)) };
}

function uint32(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff);
}

const PACE_MS = 1_000;
const PEOPLE = ['ivy_and_oak', 'Tomás', 'kilohertz', 'newcomer', 'pottery.live', 'marea'];
const LINES = [
  'hello everybody',
  'is this one long zoom, or does it start again somewhere?',
  '@marea what is the music?',
  'I could watch this for hours 🌀',
  'there is a picture of the whole set at https://en.wikipedia.org/wiki/Mandelbrot_set (scroll down)',
  'good evening from Vigo',
  'wait for it… and a very long line that has to be broken somewhere sensible because nobody presses Enter in the middle of a thought',
  'ok',
];
