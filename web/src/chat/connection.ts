import type { Session } from '../api/session.ts';
import { socketAddress } from '../api/socket-address.ts';
import { Conversation, type Effect } from './conversation.ts';
import { latestPage } from './older-pages.ts';

/** What somebody has to be told. */
export type Notice = Extract<Effect, { do: 'return' | 'tell' }>;

/**
 * Carries out what a conversation asks for: its socket, its timer, the session's tokens and the page's comings and goings.
 * It decides nothing itself.
 */
export class Connection {
  readonly conversation = new Conversation();
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakeAt = 0;
  #ended = false;
  readonly #stopListening: () => void;

  constructor(
    private readonly streamId: string,
    private readonly session: Session,
    /** The conversation has changed. */
    private readonly changed: () => void,
    private readonly notice: (notice: Notice) => void,
  ) {
    this.#stopListening = this.#listenToPage();
    this.act((conversation, now) => conversation.start(now));
  }

  /** Lets something happen to the conversation, and does what follows. */
  act(happen: (conversation: Conversation, now: number) => void): void {
    if (this.#ended) return;
    happen(this.conversation, Date.now());
    for (const effect of this.conversation.take()) this.#carryOut(effect);
    this.#rearm();
    this.changed();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#stopListening();
    this.#hangUp();
  }

  #carryOut(effect: Effect): void {
    switch (effect.do) {
      case 'open':
        return this.#open(effect.since);
      case 'close':
        return this.#hangUp();
      case 'send':
        if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(effect.frame);
        return;
      case 'token':
        return void this.#token(effect.rejected);
      case 'history':
        return void this.#history();
      case 'return':
      case 'tell':
        return this.notice(effect);
    }
  }

  #open(since: string | null): void {
    this.#hangUp();
    const address = socketAddress(`/ws/chat/${encodeURIComponent(this.streamId)}`);
    if (since !== null) address.searchParams.set('since', since);
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === 'string') this.act((conversation, now) => conversation.heard(data, now));
    };
    // `error` is followed by `close`, which says more.
    socket.onclose = ({ code }) => {
      this.#socket = null;
      this.act((conversation, now) => conversation.closed(code, now, Math.random()));
    };
  }

  /** What a socket says after this is not heard any more: another one may be open by then. */
  #hangUp(): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  async #token(rejected: string | null): Promise<void> {
    const asker = this.session.account?.id;
    try {
      const token = await this.session.token(rejected);
      // Somebody else may have logged in meanwhile; then they are asked for a token of theirs.
      if (this.session.account?.id !== asker) return;
      this.act((conversation, now) => conversation.token(token, now));
    } catch {
      this.act((conversation, now) => conversation.tokenFailed(now));
    }
  }

  async #history(): Promise<void> {
    try {
      const lines = await latestPage(this.session, this.streamId);
      this.act((conversation) => conversation.history(lines));
    } catch {
      this.act((conversation, now) => conversation.historyFailed(now));
    }
  }

  #rearm(): void {
    const now = Date.now();
    const wakeAt = this.conversation.wakeAt(now);
    // What is armed already comes early enough, and a busy room must not put it off for ever.
    if (this.#timer !== undefined && this.#wakeAt <= wakeAt) return;
    clearTimeout(this.#timer);
    this.#wakeAt = wakeAt;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const late = Date.now() - this.#wakeAt;
      this.act((conversation, at) => conversation.tick(at, late, Math.random()));
    }, wakeAt - now);
  }

  #listenToPage(): () => void {
    const online = () => this.act((conversation, now) => conversation.online(now));
    const offline = () => this.act((conversation, now) => conversation.offline(now));
    const shown = () => {
      if (!document.hidden) this.act((conversation, now) => conversation.shown(now));
    };
    const left = () => this.act((conversation) => conversation.rest());
    const back = () => this.act((conversation, now) => conversation.start(now));
    window.addEventListener('online', online);
    window.addEventListener('offline', offline);
    window.addEventListener('pagehide', left);
    window.addEventListener('pageshow', back);
    document.addEventListener('visibilitychange', shown);
    return () => {
      window.removeEventListener('online', online);
      window.removeEventListener('offline', offline);
      window.removeEventListener('pagehide', left);
      window.removeEventListener('pageshow', back);
      document.removeEventListener('visibilitychange', shown);
    };
  }
}
