import type { Notification } from '../api/notifications.ts';
import type { LiveToken } from '../api/session.ts';
import { afterEnd } from '../chat/reconnect.ts';
import { readNews } from './frames.ts';

/** As much of a WebSocket as is needed here. */
export interface Wire {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<unknown>) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(text: string): void;
  close(): void;
}

interface Around {
  open: () => Wire;
  /** An access token that is not `rejected`; `null` when nobody is logged in. */
  token: (rejected: string | null) => Promise<LiveToken | null>;
  /** It is heard from now on; what was told before is read elsewhere. */
  listening: () => void;
  told: (notification: Notification) => void;
}

/** Hears what one person is told while they look at a page: comes back when it is cut off, and has no memory. */
export class NewsSocket {
  #wire: Wire | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #token: string | null = null;
  #rejected: string | null = null;

  constructor(private readonly around: Around) {}

  start(): void {
    if (this.#wire !== null) return;
    clearTimeout(this.#timer);
    const wire = this.around.open();
    this.#wire = wire;
    wire.onopen = () => void this.#authenticate();
    wire.onmessage = ({ data }) => {
      if (typeof data === 'string') this.#heard(data);
    };
    wire.onclose = ({ code }) => this.#ended(code);
    this.#timer = setTimeout(() => this.#giveUp(), ANSWER_MS);
  }

  stop(): void {
    this.#letGo();
    this.#attempt = 0;
  }

  /** Says who listens, and again before the token ends. */
  async #authenticate(): Promise<void> {
    const wire = this.#wire;
    let token: LiveToken | null;
    try {
      token = await this.around.token(this.#rejected);
    } catch {
      if (this.#wire === wire) this.#giveUp();
      return;
    }
    if (this.#wire !== wire || wire === null) return;
    if (token === null) return this.stop();
    this.#token = token.value;
    this.#send('authenticate', { token: token.value }, AUTHENTICATE);
    const left = Math.min(Math.max(token.renewAt - Date.now(), SOONEST_RENEWAL_MS), LONGEST_TIMER_MS);
    this.#renewal = setTimeout(() => void this.#authenticate(), left);
  }

  #heard(text: string): void {
    const frame = readNews(text);
    if (frame.event === 'notification') return this.around.told(frame.notification);
    if (frame.event !== 'ack') return;
    if (frame.id === AUTHENTICATE) {
      if (frame.code === null) return this.#send('subscribe_notifications', { scope: 'followed' }, SUBSCRIBE);
      if (REFUSED.has(frame.code)) this.#rejected = this.#token;
      return this.#giveUp();
    }
    if (frame.id !== SUBSCRIBE) return;
    if (frame.code !== null) return this.#giveUp();
    clearTimeout(this.#timer);
    this.#attempt = 0;
    this.#rejected = null;
    this.around.listening();
  }

  #send(event: string, data: object, id: string): void {
    this.#wire?.send(JSON.stringify({ event, data, id }));
  }

  #giveUp(): void {
    this.#letGo();
    this.#ended(NO_ANSWER);
  }

  #ended(code: number): void {
    this.#letGo();
    const next = afterEnd({ code, error: null }, this.#attempt, Math.random());
    this.#attempt += 1;
    if (next.kind === 'never') return;
    if (next.spoilt === 'token') this.#rejected = this.#token;
    this.#timer = setTimeout(() => this.start(), next.ms);
  }

  #letGo(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    const wire = this.#wire;
    if (wire === null) return;
    this.#wire = null;
    wire.onopen = wire.onmessage = wire.onclose = null;
    wire.close();
  }
}

/** Another token may help, or shows that nobody is logged in any more. */
const REFUSED: ReadonlySet<string> = new Set(['token_invalid', 'token_expired', 'session_revoked']);
const AUTHENTICATE = 'who';
const SUBSCRIBE = 'what';
/** As a WebSocket that closed without a close frame. */
const NO_ANSWER = 1006;
/** From opening the socket until the server has said yes. */
const ANSWER_MS = 20_000;
const SOONEST_RENEWAL_MS = 10_000;
/** What a timer can hold. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
