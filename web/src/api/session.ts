import { deadline } from './deadline.ts';
import { ApiProblem, parseProblem, Unreachable } from './problem.ts';

export interface Account {
  id: string;
  username: string;
  displayName?: string | null;
  email?: string;
  avatar?: string | null;
  role?: Role;
}

export type Role = 'user' | 'admin';

/** What somebody opens an account with. */
export interface Registration {
  username: string;
  email: string;
  password: string;
  /** The token of an invitation, where one is needed. */
  invitation?: string;
}

/** What register, login and refresh answer. With an HttpOnly cookie the server may leave out `refreshToken`. */
interface Tokens {
  accessToken: string;
  refreshToken?: string;
  /** Seconds that the access token lasts. */
  expiresIn?: number;
  user?: Account;
}

/** An access token for what does not go through `request`. */
export interface LiveToken {
  value: string;
  /** Milliseconds since 1970. From then on there is a newer one, a while before this one ends. */
  renewAt: number;
}

/**
 * What this browser notes of its session, for its other tabs and the next visit: the account's id, `LEAVING`, or
 * `null` for nobody. It holds no token; it saves visitors a pointless request, and tabs learn from each other.
 */
export interface SessionNote {
  get(): string | null;
  set(note: string | null): void;
}

/** Somebody has logged out, and the server has not been told yet. */
export const LEAVING = 'leaving';

/** What of a session the pages show. */
export interface SessionView {
  account: Account | null;
  /** Until it is known whether an earlier visit's session still holds. */
  restoring: boolean;
  /** `restoring` takes longer, because the server does not answer or has no time. */
  away: boolean;
  /** A log-out is on its way, or has not reached the server and is tried again: the account is not logged out yet. */
  leaving: 'no' | 'asking' | 'delayed';
}

/** What a session needs of the browser around it. */
export interface Surroundings {
  fetch: typeof fetch;
  note: SessionNote;
  changed: (view: SessionView) => void;
  /** Waits so many milliseconds, or less when trying again looks promising. */
  pause: (ms: number) => Promise<void>;
  /** Runs the task when no other tab is running one. */
  alone: <T>(task: () => Promise<T>) => Promise<T>;
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** A file goes as it is, anything else as JSON. */
  body?: unknown;
  /** The type of an answer that is no JSON: `text/csv`. It comes as a text. */
  accept?: string;
}

export interface Page<T> {
  items: T[];
  /** The address of the following page, from `Link: <…>; rel="next"`. */
  next: string | null;
}

/**
 * Who is logged in, and every request to the api.
 *
 * The access token lives in memory only. The refresh token is the server's HttpOnly cookie where it sets one; else
 * it is kept in memory too, and a reload means logging in again.
 */
export class Session {
  #view: SessionView = { account: null, restoring: true, away: false, leaving: 'no' };
  #accessToken: string | null = null;
  #renewAt = Infinity;
  #refreshToken: string | null = null;
  /** How the last successful refresh proved itself; until one worked, the cookie is tried first. */
  #refreshBy: 'unknown' | 'cookie' | 'body' = 'unknown';
  #refreshing: Promise<RefreshOutcome> | null = null;
  /** Counts log-ins and log-outs, so that an answer which arrives after one of them changes nothing. */
  #generation = 0;

  constructor(private readonly around: Surroundings) {}

  get account(): Account | null {
    return this.#view.account;
  }

  /**
   * Takes up the session of an earlier visit, if there was one. Only the api's own "no" ends it: a server that does not
   * answer, or has no time, is asked again for as long as it takes.
   */
  async restore(): Promise<void> {
    if (this.around.note.get() === LEAVING) await this.logout();
    if (this.around.note.get() === null) {
      this.#show({ restoring: false });
      return;
    }
    const generation = this.#generation;
    this.#show({ restoring: true });
    for (let attempt = 0; generation === this.#generation; attempt += 1) {
      const outcome = await this.#refresh();
      if (outcome === 'renewed' || outcome === 'refused') break;
      if (generation !== this.#generation) break;
      this.#show({ away: true });
      await this.around.pause(patience(attempt, outcome));
    }
    if (generation === this.#generation) this.#show({ restoring: false, away: false });
  }

  /** Another tab may have logged in or out meanwhile, or this page may come back from the browser's history. */
  async sync(): Promise<void> {
    const note = this.around.note.get();
    if (note === null) {
      if (this.account !== null || this.#view.restoring) this.forget();
    } else if (note !== LEAVING && note !== this.account?.id && !this.#view.restoring) {
      this.#drop();
      await this.restore();
    } else if (note !== LEAVING && this.#view.leaving !== 'no') {
      // Another tab took the log-out back.
      this.#show({ leaving: 'no' });
    }
  }

  async register(fields: Registration): Promise<void> {
    await this.#enter('/api/auth/register', fields);
  }

  async login(fields: { login: string; password: string }): Promise<void> {
    await this.#enter('/api/auth/login', fields);
  }

  /**
   * Ends the session at the server, and here once the server has ended it: a cookie that it did not hear about would
   * log in the next visitor of a shared computer. Tried again until it is heard, also by the next visit, or until
   * `stay`. Resolves to whether the session is over.
   */
  async logout(): Promise<boolean> {
    if (this.#view.leaving !== 'no') return false;
    const generation = this.#generation;
    this.around.note.set(LEAVING);
    this.#show({ leaving: 'asking' });
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.#endAtServer();
        break;
      } catch (error) {
        if (isDefiniteNo(error)) break;
        if (!this.#isLeaving(generation)) return false;
        this.#show({ leaving: 'delayed' });
        await this.around.pause(patience(attempt, error));
        if (!this.#isLeaving(generation)) return false;
      }
    }
    // Somebody may have logged in anew while the answer was on its way.
    if (generation === this.#generation) this.forget();
    return true;
  }

  /** Takes a log-out back that did not reach the server. */
  stay(): void {
    if (this.#view.leaving === 'no') return;
    this.#noteAccount();
    this.#show({ leaving: 'no' });
  }

  /** Shows the account as it was just saved, unless somebody else has logged in since. */
  show(account: Account): void {
    if (this.account?.id === account.id) this.#show({ account: { ...this.account, ...account } });
  }

  /** Drops everything, without a word to the server: it knows that the session is over. */
  forget(): void {
    this.around.note.set(null);
    this.#drop();
  }

  async request<T>(path: string, options: RequestOptions = {}): Promise<T> {
    return (await this.#authorized<T>(path, options)).value;
  }

  async page<T>(path: string, options: RequestOptions = {}): Promise<Page<T>> {
    const { value, headers } = await this.#authorized<T[]>(path, options);
    return { items: value, next: nextPage(headers.get('link')) };
  }

  /**
   * The access token, for a socket, which has no header for it; `null` when nobody is logged in. Another one than `rejected`,
   * which the server did not take. Throws what kept the server from answering.
   */
  async token(rejected: string | null = null): Promise<LiveToken | null> {
    if (this.account === null) return null;
    if (rejected !== null && (await this.#anotherTabLoggedOut())) return null;
    const good = this.#accessToken !== null && this.#accessToken !== rejected && Date.now() < this.#renewAt;
    if (!good) {
      const outcome = await this.#refresh();
      if (outcome === 'refused') return null;
      if (outcome !== 'renewed') throw outcome;
    }
    return this.#accessToken === null ? null : { value: this.#accessToken, renewAt: this.#renewAt };
  }

  async #authorized<T>(path: string, options: RequestOptions): Promise<{ value: T; headers: Headers }> {
    const token = this.#accessToken;
    const asker = this.account?.id;
    try {
      return await this.#exchange<T>(path, options, token);
    } catch (error) {
      if (token === null || !(error instanceof ApiProblem) || error.status !== 401) throw error;
      // Another request may have refreshed while this one was on its way.
      if (this.#accessToken === token) {
        if (await this.#anotherTabLoggedOut()) throw error;
        const outcome = await this.#refresh();
        if (outcome === 'refused') throw error;
        if (outcome !== 'renewed') throw outcome;
      }
      // Somebody else has logged in meanwhile: what the one wanted must not happen to the other.
      if (this.account?.id !== asker) throw error;
      return await this.#exchange<T>(path, options, this.#accessToken);
    }
  }

  /** While another tab logs out: the server ends the token before that tab has its answer and tells the others. */
  async #anotherTabLoggedOut(): Promise<boolean> {
    const leaves = () => this.#view.leaving === 'no' && this.around.note.get() === LEAVING;
    if (!leaves()) return false;
    for (let waited = 0; waited < LOG_OUT_PAUSES && leaves(); waited += 1)
      await this.around.pause(FIRST_PAUSE_MS);
    if (this.around.note.get() !== null) return false;
    this.forget();
    return true;
  }

  async #enter(path: string, fields: unknown): Promise<void> {
    const tokens = await this.#tokens(path, fields);
    this.#drop();
    this.#adopt(tokens);
    this.#noteAccount();
  }

  #isLeaving(generation: number): boolean {
    return generation === this.#generation && this.#view.leaving !== 'no';
  }

  async #endAtServer(): Promise<void> {
    const byBody = this.#refreshBy !== 'cookie' && this.#refreshToken !== null;
    const body = byBody ? { refreshToken: this.#refreshToken } : {};
    const { status } = await this.#exchange('/api/auth/logout', { method: 'POST', body }, this.#accessToken);
    // Anything else did not come from the api, whatever it says.
    if (status !== 204) throw new Unreachable();
  }

  /** One refresh at a time, however many requests need it: a second use of a refresh token looks like theft. */
  #refresh(): Promise<RefreshOutcome> {
    if (this.#refreshing !== null) return this.#refreshing;
    const refreshing = this.around
      .alone(() => this.#refreshOnce())
      .finally(() => {
        if (this.#refreshing === refreshing) this.#refreshing = null;
      });
    return (this.#refreshing = refreshing);
  }

  async #refreshOnce(): Promise<RefreshOutcome> {
    const generation = this.#generation;
    for (const by of this.#refreshAttempts()) {
      try {
        const body = by === 'body' ? { refreshToken: this.#refreshToken } : {};
        const tokens = await this.#refreshAgainIfLost(body);
        if (generation !== this.#generation) return 'refused';
        this.#refreshBy = by;
        this.#adopt(tokens);
        // The tab where somebody logged out may be closed before the server has heard of it, so this one tells it too.
        if (this.around.note.get() === LEAVING) void this.logout();
        else this.#noteAccount();
        return 'renewed';
      } catch (error) {
        if (generation !== this.#generation) return 'refused';
        if (!isDefiniteNo(error)) return error instanceof Error ? error : new Unreachable();
      }
    }
    this.forget();
    return 'refused';
  }

  /**
   * When the answer is lost the server may have changed the token already. For a while it gives the same successor to
   * whoever asks with the old one again: so that happens at once, and once.
   */
  async #refreshAgainIfLost(body: unknown): Promise<Tokens> {
    try {
      return await this.#tokens('/api/auth/refresh', body);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      return await this.#tokens('/api/auth/refresh', body);
    }
  }

  #refreshAttempts(): ('cookie' | 'body')[] {
    if (this.#refreshToken === null) return ['cookie'];
    return this.#refreshBy === 'unknown' ? ['cookie', 'body'] : [this.#refreshBy];
  }

  async #tokens(path: string, body: unknown): Promise<Tokens> {
    const { value } = await this.#exchange<Tokens | undefined>(path, { method: 'POST', body }, null);
    // A network that wants to be logged in to answers everything with a page of its own.
    if (typeof value?.accessToken !== 'string') throw new Unreachable();
    return value;
  }

  #adopt(tokens: Tokens): void {
    this.#accessToken = tokens.accessToken;
    const lasts = (tokens.expiresIn ?? Infinity) * 1000;
    this.#renewAt = Date.now() + lasts - Math.min(RENEWAL_MS, lasts / 4);
    this.#refreshToken = tokens.refreshToken ?? null;
    this.#show({ account: tokens.user ?? this.account });
  }

  #noteAccount(): void {
    this.around.note.set(this.account?.id ?? '1');
  }

  #drop(): void {
    this.#generation += 1;
    this.#accessToken = null;
    this.#refreshToken = null;
    this.#refreshBy = 'unknown';
    this.#refreshing = null;
    this.#show({ account: null, restoring: false, away: false, leaving: 'no' });
  }

  #show(change: Partial<SessionView>): void {
    this.#view = { ...this.#view, ...change };
    this.around.changed(this.#view);
  }

  async #exchange<T>(path: string, options: RequestOptions, token: string | null) {
    const { accept } = options;
    const headers: Record<string, string> = { accept: accept ?? 'application/json' };
    if (token !== null) headers['authorization'] = `Bearer ${token}`;
    const { body: sent } = options;
    const file = sent instanceof Blob ? sent : null;
    if (sent !== undefined) headers['content-type'] = file?.type ?? 'application/json';
    const limit = deadline(REQUEST_DEADLINE_MS);
    let response: Response;
    let body: string;
    try {
      response = await this.around.fetch(path, {
        method: options.method ?? 'GET',
        headers,
        credentials: 'same-origin',
        body: sent === undefined ? null : (file ?? JSON.stringify(sent)),
        signal: limit.signal,
      });
      body = await response.text();
    } catch {
      throw new Unreachable();
    } finally {
      limit.met();
    }
    const kind = response.headers.get('content-type');
    if (!response.ok) throw parseProblem(response.status, kind, body, response.headers.get('retry-after'));
    // A network that wants to be logged in to answers with a page of its own.
    if (accept !== undefined && kind?.startsWith(accept) !== true) throw new Unreachable();
    const value = (accept === undefined ? parseJson(body) : body) as T;
    return { value, headers: response.headers, status: response.status };
  }
}

/** Otherwise what kept the server from answering. */
type RefreshOutcome = 'renewed' | 'refused' | Error;

/** True when the api itself said that there is no such session; what a proxy says in its place is no such word. */
function isDefiniteNo(error: unknown): boolean {
  return error instanceof ApiProblem && error.typed && (error.status === 401 || error.status === 403);
}

/** Milliseconds until the next try: longer each time, spread out, and at least what the server asked for, up to two minutes. */
function patience(attempt: number, error: unknown): number {
  const usual = Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS);
  const asked = error instanceof ApiProblem ? (error.retryAfter ?? 0) * 1000 : 0;
  return Math.max(usual * (0.5 + Math.random() / 2), Math.min(asked, LONGEST_ASKED_MS));
}

function parseJson(body: string): unknown {
  if (body === '') return undefined;
  try {
    return JSON.parse(body);
  } catch {
    throw new Unreachable();
  }
}

/** Only addresses on our own server are followed: a list must not be able to send the access token elsewhere. */
export function nextPage(link: string | null): string | null {
  const match = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? '');
  const target = match?.[1];
  if (target === undefined) return null;
  const path = target.replace(/^https?:\/\/[^/]+/, '');
  return path.startsWith('/') && !path.startsWith('//') ? path : null;
}

/** Longer than the slowest honest answer (a password hash on a busy machine), shorter than a person's patience. */
const REQUEST_DEADLINE_MS = 15_000;
/** Before an access token ends: enough for a server that is away for a moment. */
const RENEWAL_MS = 60_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
/** For the server to answer a log-out. */
const LOG_OUT_PAUSES = 5;
/** A server whose clock was wrong may ask for hours. */
const LONGEST_ASKED_MS = 120_000;
