import { ApiProblem, parseProblem, Unreachable } from './problem.ts';

export interface Account {
  id: string;
  username: string;
  email?: string;
  avatar?: string | null;
}

/** What register, login and refresh answer. With an HttpOnly cookie the server may leave out `refreshToken`. */
interface Tokens {
  accessToken: string;
  refreshToken?: string;
  user?: Account;
}

/** A note that there may be a session to restore. It holds no token: it only saves visitors a pointless request. */
export interface SignedInMark {
  get(): boolean;
  set(signedIn: boolean): void;
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  body?: unknown;
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
  account: Account | null = null;

  #accessToken: string | null = null;
  #refreshToken: string | null = null;
  /** How the last successful refresh proved itself; until one worked, the cookie is tried first. */
  #refreshBy: 'unknown' | 'cookie' | 'body' = 'unknown';
  #refreshing: Promise<RefreshOutcome> | null = null;
  /** Counts log-ins and log-outs, so that an answer which arrives after one of them changes nothing. */
  #generation = 0;

  constructor(
    private readonly fetcher: typeof fetch,
    private readonly mark: SignedInMark,
    private readonly changed: (account: Account | null) => void = () => undefined,
  ) {}

  /** Takes up the session of an earlier visit, if there was one. */
  async restore(): Promise<void> {
    if (this.mark.get()) await this.#refresh();
  }

  async register(fields: { username: string; email: string; password: string }): Promise<void> {
    this.#adopt(await this.#send<Tokens>('/api/auth/register', { method: 'POST', body: fields }));
  }

  async login(fields: { login: string; password: string }): Promise<void> {
    this.#adopt(await this.#send<Tokens>('/api/auth/login', { method: 'POST', body: fields }));
  }

  /** Ends the session here whatever the server says; tells the server so that its tokens die too. */
  async logout(): Promise<void> {
    try {
      await this.request('/api/auth/logout', { method: 'POST' });
    } catch {
      // Out of reach or already logged out there: the tokens expire by themselves.
    } finally {
      this.forget();
    }
  }

  /** Drops everything in memory, without a word to the server: another tab has logged out. */
  forget(): void {
    this.#generation += 1;
    this.#accessToken = null;
    this.#refreshToken = null;
    this.#refreshBy = 'unknown';
    this.#refreshing = null;
    this.mark.set(false);
    this.#become(null);
  }

  async request<T>(path: string, options: RequestOptions = {}): Promise<T> {
    return (await this.#authorized<T>(path, options)).value;
  }

  async page<T>(path: string, options: RequestOptions = {}): Promise<Page<T>> {
    const { value, headers } = await this.#authorized<T[]>(path, options);
    return { items: value, next: nextPage(headers.get('link')) };
  }

  async #authorized<T>(path: string, options: RequestOptions): Promise<{ value: T; headers: Headers }> {
    const token = this.#accessToken;
    try {
      return await this.#exchange<T>(path, options, token);
    } catch (error) {
      if (token === null || !(error instanceof ApiProblem) || error.status !== 401) throw error;
      // Another request may have refreshed while this one was on its way.
      if (this.#accessToken === token) {
        const outcome = await this.#refresh();
        if (outcome === 'unreachable') throw new Unreachable();
        if (outcome === 'refused') throw error;
      }
      return await this.#exchange<T>(path, options, this.#accessToken);
    }
  }

  /** One refresh at a time, however many requests need it: a second use of a refresh token looks like theft. */
  #refresh(): Promise<RefreshOutcome> {
    this.#refreshing ??= this.#refreshOnce().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refreshOnce(): Promise<RefreshOutcome> {
    const generation = this.#generation;
    const attempts = this.#refreshAttempts();
    for (const by of attempts) {
      try {
        const body = by === 'body' ? { refreshToken: this.#refreshToken } : {};
        const tokens = await this.#send<Tokens>('/api/auth/refresh', { method: 'POST', body });
        if (generation !== this.#generation) return 'refused';
        this.#refreshBy = by;
        this.#adopt(tokens);
        return 'renewed';
      } catch (error) {
        if (generation !== this.#generation) return 'refused';
        const refused = error instanceof ApiProblem && [400, 401, 403, 422].includes(error.status);
        if (!refused) return 'unreachable';
      }
    }
    this.forget();
    return 'refused';
  }

  #refreshAttempts(): ('cookie' | 'body')[] {
    if (this.#refreshToken === null) return ['cookie'];
    return this.#refreshBy === 'unknown' ? ['cookie', 'body'] : [this.#refreshBy];
  }

  #adopt(tokens: Tokens): void {
    this.#accessToken = tokens.accessToken;
    this.#refreshToken = tokens.refreshToken ?? null;
    this.mark.set(true);
    if (tokens.user !== undefined) this.#become(tokens.user);
  }

  #become(account: Account | null): void {
    this.account = account;
    this.changed(account);
  }

  async #send<T>(path: string, options: RequestOptions): Promise<T> {
    return (await this.#exchange<T>(path, options, null)).value;
  }

  async #exchange<T>(path: string, options: RequestOptions, token: string | null) {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (token !== null) headers['authorization'] = `Bearer ${token}`;
    if (options.body !== undefined) headers['content-type'] = 'application/json';
    let response: Response;
    let body: string;
    try {
      response = await this.fetcher(path, {
        method: options.method ?? 'GET',
        headers,
        credentials: 'same-origin',
        body: options.body === undefined ? null : JSON.stringify(options.body),
        signal: AbortSignal.timeout(REQUEST_DEADLINE_MS),
      });
      body = await response.text();
    } catch {
      throw new Unreachable();
    }
    if (!response.ok) {
      const kind = response.headers.get('content-type');
      throw parseProblem(response.status, kind, body, response.headers.get('retry-after'));
    }
    return { value: (body === '' ? undefined : JSON.parse(body)) as T, headers: response.headers };
  }
}

type RefreshOutcome = 'renewed' | 'refused' | 'unreachable';

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
