import { WebSocket } from 'ws';

interface Line {
  id: string;
  message: string;
  epoch: number;
  offset: number;
}

/** A frame of the server. */
interface Told {
  event: string;
  id?: number;
  data: {
    ok?: boolean;
    code?: string;
    retryAfterMs?: number;
    epoch?: number;
    offset?: number;
    id?: string;
    recovered?: boolean;
    messages?: Line[];
    message?: unknown;
  };
}

/**
 * A program that chats as docs/realtime.md says: it comes back with what it has heard, to another replica where one is away,
 * and says again under the same name what was not answered.
 */
export class ChatClient {
  /** Texts in the order in which they were heard, each once for each time that it was told. */
  readonly heard: string[] = [];
  /** Texts that the server said it has. */
  readonly accepted: string[] = [];
  /** How often it came back, and how often with a gap that the server could not fill. */
  returns = 0;
  unrecovered = 0;
  readonly #replicas: string[];
  readonly #stream: string;
  readonly #token: string | undefined;
  #replica: number;
  #socket: WebSocket | undefined;
  #since: { epoch: number; offset: number } | undefined;
  #ahead = new Set<number>();
  readonly #ids = new Set<string>();
  readonly #waiting = new Map<number, (data: Told['data'] | undefined) => void>();
  #frames = 0;
  #closed = false;

  constructor(replicas: string[], first: number, stream: string, token?: string) {
    this.#replicas = replicas;
    this.#replica = first;
    this.#stream = stream;
    this.#token = token;
    this.#connect();
  }

  /** Says it until it is accepted. */
  async says(text: string, name: string): Promise<void> {
    for (;;) {
      const data = await this.#asks('send_message', { message: text, clientMsgId: name });
      if (data?.ok) {
        this.accepted.push(text);
        this.#hears(data.message as Line);
        return;
      }
      if (data && !['too_fast', 'unavailable', 'overloaded', 'room_busy', 'unauthenticated', 'timed_out'].includes(data.code ?? '')) {
        throw new Error(JSON.stringify(data));
      }
      await new Promise((resolve) => setTimeout(resolve, data?.retryAfterMs ?? 250));
    }
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close();
  }

  #connect(): void {
    if (this.#closed) return;
    const base = (this.#replicas[this.#replica % this.#replicas.length] ?? '').replace(/^http/, 'ws');
    const since = this.#since ? `?since=${this.#since.epoch}.${this.#since.offset}` : '';
    const socket = new WebSocket(`${base}/ws/chat/${this.#stream}${since}`, { handshakeTimeout: 5_000 });
    this.#socket = socket;
    socket.on('open', () => {
      if (this.#token) socket.send(JSON.stringify({ event: 'authenticate', data: { token: this.#token }, id: -1 }));
    });
    socket.on('message', (text: Buffer) => this.#takes(JSON.parse(text.toString()) as Told));
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const answer of this.#waiting.values()) answer(undefined);
      this.#waiting.clear();
      this.returns += 1;
      this.#replica += 1;
      setTimeout(() => this.#connect(), 200);
    });
  }

  #takes({ event, id, data }: Told): void {
    if (event === 'ack') {
      this.#waiting.get(id ?? Number.NaN)?.(data);
      return;
    }
    if (event === 'resync') return this.#socket?.terminate();
    if (event === 'joined') {
      if (this.#since && data.recovered === false) this.unrecovered += 1;
      for (const line of data.messages ?? []) this.#hears(line);
      if (data.recovered === false) {
        this.#since = { epoch: data.epoch ?? 0, offset: data.offset ?? 0 };
        this.#ahead.clear();
      }
      return;
    }
    if (event === 'new_message') this.#hears(data as Line);
  }

  #hears(line: Line): void {
    if (this.#ids.has(line.id)) return;
    this.#ids.add(line.id);
    this.heard.push(line.message);
    const { epoch, offset } = line;
    if (!this.#since || epoch > this.#since.epoch) {
      this.#since = { epoch, offset };
      this.#ahead.clear();
    }
    // An answer may overtake events that were before it, which are told in a moment: those are where a return goes on.
    this.#ahead.add(offset);
    while (this.#ahead.delete(this.#since.offset + 1)) this.#since.offset += 1;
  }

  #asks(event: string, data: object): Promise<Told['data'] | undefined> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.resolve(undefined);
    const id = (this.#frames += 1);
    return new Promise((resolve) => {
      const answer = (given: Told['data'] | undefined) => {
        clearTimeout(patience);
        this.#waiting.delete(id);
        resolve(given);
      };
      const patience = setTimeout(() => answer(undefined), 10_000);
      this.#waiting.set(id, answer);
      socket.send(JSON.stringify({ event, data, id }));
    });
  }
}
