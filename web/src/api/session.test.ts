import { describe, expect, it } from 'vitest';
import { ApiProblem, Unreachable } from './problem.ts';
import { nextPage, Session } from './session.ts';

interface Call {
  path: string;
  method: string;
  bearer: string | null;
  body: unknown;
}

type Answer = { status: number; json?: unknown; headers?: Record<string, string> } | 'down';

/** An api that answers by a script and remembers what it was asked. */
function fakeApi(answer: (call: Call) => Answer | Promise<Answer>) {
  const calls: Call[] = [];
  const fetcher = (async (path: string, init: RequestInit) => {
    const headers = init.headers as Record<string, string>;
    const call = {
      path,
      method: init.method ?? 'GET',
      bearer: headers['authorization']?.replace('Bearer ', '') ?? null,
      body: typeof init.body === 'string' ? JSON.parse(init.body) : null,
    };
    calls.push(call);
    const given = await answer(call);
    if (given === 'down') throw new TypeError('Failed to fetch');
    const body = given.json === undefined ? null : JSON.stringify(given.json);
    return new Response(body, {
      status: given.status,
      headers: { 'content-type': 'application/json', ...given.headers },
    });
  }) as typeof fetch;
  const mark = { value: false, get: () => mark.value, set: (to: boolean) => void (mark.value = to) };
  const session = new Session(fetcher, mark);
  const refreshes = () => calls.filter((call) => call.path === '/api/auth/refresh');
  return { session, calls, mark, refreshes };
}

const ANA = { id: 'u1', username: 'ana' };
const EXPIRED: Answer = { status: 401, json: { code: 'token_expired' } };

/** The usual server: access tokens are named by their generation, and only `valid` ones are good. */
function rotating(cookie: boolean, opening = 1) {
  const state = { generation: opening, valid: true };
  const tokens = () => ({
    accessToken: `access-${state.generation}`,
    ...(cookie ? {} : { refreshToken: `refresh-${state.generation}` }),
    user: ANA,
  });
  const api = fakeApi(({ path, body, bearer }) => {
    if (path === '/api/auth/login') return { status: 200, json: tokens() };
    if (path === '/api/auth/refresh') {
      const given = (body as { refreshToken?: string }).refreshToken;
      if (!cookie && given !== `refresh-${state.generation}`)
        return { status: 401, json: { code: 'refresh_invalid' } };
      state.generation += 1;
      state.valid = true;
      return { status: 200, json: tokens() };
    }
    if (path === '/api/auth/logout') return { status: 204 };
    return state.valid && bearer === `access-${state.generation}`
      ? { status: 200, json: { ok: true } }
      : EXPIRED;
  });
  return { ...api, expire: () => void (state.valid = false) };
}

describe.each([
  ['by cookie', true],
  ['by token in the body', false],
])('a session refreshed %s', (_, cookie) => {
  it('renews an expired access token and asks again', async () => {
    const { session, expire, refreshes } = rotating(cookie);
    await session.login({ login: 'ana', password: 'secret-word' });
    expire();
    await expect(session.request('/api/streams/mine')).resolves.toEqual({ ok: true });
    expect(refreshes().at(-1)?.body).toEqual(cookie ? {} : { refreshToken: 'refresh-1' });
  });

  it('renews once for many requests at a time', async () => {
    const { session, expire, refreshes } = rotating(cookie);
    await session.login({ login: 'ana', password: 'secret-word' });
    expire();
    await session.request('/api/warm-up');
    const before = refreshes().length;
    expire();
    await Promise.all(Array.from({ length: 20 }, (_, n) => session.request(`/api/${n}`)));
    expect(refreshes().length - before).toBe(1);
  });

  it('goes on with the newest refresh token', async () => {
    const { session, expire } = rotating(cookie);
    await session.login({ login: 'ana', password: 'secret-word' });
    for (let round = 0; round < 5; round += 1) {
      expire();
      await expect(session.request('/api/streams/mine')).resolves.toEqual({ ok: true });
    }
  });
});

describe('a session', () => {
  it('asks for nothing at the start when nobody was logged in', async () => {
    const { session, calls } = rotating(true);
    await session.restore();
    expect(calls).toEqual([]);
    expect(session.account).toBeNull();
  });

  it('is restored from the cookie after a reload', async () => {
    const { session, mark } = rotating(true);
    mark.value = true;
    await session.restore();
    expect(session.account).toEqual(ANA);
    await expect(session.request('/api/streams/mine')).resolves.toEqual({ ok: true });
  });

  it('is over when the refresh is refused', async () => {
    const { session, mark } = fakeApi(({ path }) =>
      path === '/api/auth/login'
        ? { status: 200, json: { accessToken: 'a', refreshToken: 'r', user: ANA } }
        : EXPIRED,
    );
    await session.login({ login: 'ana', password: 'secret-word' });
    await expect(session.request('/api/streams/mine')).rejects.toMatchObject({ status: 401 });
    expect(session.account).toBeNull();
    expect(mark.value).toBe(false);
  });

  it('survives a server that is away during the refresh', async () => {
    let away = true;
    const { session } = fakeApi(({ path, bearer }) => {
      if (path === '/api/auth/login') return { status: 200, json: { accessToken: 'old', user: ANA } };
      if (path === '/api/auth/refresh')
        return away ? 'down' : { status: 200, json: { accessToken: 'new', user: ANA } };
      return bearer === 'new' ? { status: 200, json: 'fine' } : EXPIRED;
    });
    await session.login({ login: 'ana', password: 'secret-word' });
    await expect(session.request('/api/streams/mine')).rejects.toBeInstanceOf(Unreachable);
    expect(session.account).toEqual(ANA);
    away = false;
    await expect(session.request('/api/streams/mine')).resolves.toBe('fine');
  });

  it('asks again only once', async () => {
    const { session, calls } = fakeApi(({ path }) =>
      path.startsWith('/api/auth/')
        ? { status: 200, json: { accessToken: 'never good', user: ANA } }
        : EXPIRED,
    );
    await session.login({ login: 'ana', password: 'secret-word' });
    await expect(session.request('/api/streams/mine')).rejects.toBeInstanceOf(ApiProblem);
    expect(calls.filter((call) => call.path === '/api/streams/mine')).toHaveLength(2);
  });

  it('does not refresh for a visitor who gets a 401', async () => {
    const { session, refreshes } = fakeApi(() => EXPIRED);
    await expect(session.request('/api/auth/stream-key')).rejects.toMatchObject({ status: 401 });
    expect(refreshes()).toHaveLength(0);
  });

  it('does not refresh over a wrong password', async () => {
    const { session, refreshes } = fakeApi(() => ({
      status: 401,
      json: { code: 'bad_credentials', detail: 'No.' },
    }));
    await expect(session.login({ login: 'ana', password: 'wrong' })).rejects.toThrow('No.');
    expect(refreshes()).toHaveLength(0);
  });

  it('stays logged out when a refresh answers after the log-out', async () => {
    let release: (answer: Answer) => void = () => undefined;
    let asked: () => void = () => undefined;
    const refreshAsked = new Promise<void>((resolve) => (asked = resolve));
    const { session } = fakeApi(({ path }) => {
      if (path === '/api/auth/login') return { status: 200, json: { accessToken: 'a', user: ANA } };
      if (path === '/api/auth/refresh') {
        asked();
        return new Promise<Answer>((resolve) => (release = resolve));
      }
      return EXPIRED;
    });
    await session.login({ login: 'ana', password: 'secret-word' });
    const late = session.request('/api/streams/mine');
    await refreshAsked;
    session.forget();
    release({ status: 200, json: { accessToken: 'b', user: ANA } });
    await expect(late).rejects.toMatchObject({ status: 401 });
    expect(session.account).toBeNull();
  });

  it('logs out here even if the server does not answer', async () => {
    const { session, mark } = fakeApi(({ path }) =>
      path === '/api/auth/login' ? { status: 200, json: { accessToken: 'a', user: ANA } } : 'down',
    );
    await session.login({ login: 'ana', password: 'secret-word' });
    await session.logout();
    expect(session.account).toBeNull();
    expect(mark.value).toBe(false);
  });
});

describe('the next page of a list', () => {
  it.each([
    ['</api/streams?cursor=abc>; rel="next"', '/api/streams?cursor=abc'],
    ['<https://live.example/api/streams?cursor=abc>; rel="next"', '/api/streams?cursor=abc'],
    ['</a>; rel="prev", </b>; rel="next"', '/b'],
    ['</a>; rel="prev"', null],
    ['<//elsewhere.example/x>; rel="next"', null],
    [null, null],
  ])('of %j is %j', (link, next) => {
    expect(nextPage(link)).toBe(next);
  });
});
