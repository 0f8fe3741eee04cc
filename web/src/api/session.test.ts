import { describe, expect, it, vi } from 'vitest';
import { ApiProblem, Unreachable } from './problem.ts';
import { LEAVING, nextPage, Session, type SessionView } from './session.ts';

interface Call {
  path: string;
  method: string;
  bearer: string | null;
  body: unknown;
  contentType: string | undefined;
}

type Answer =
  | { status: number; json?: unknown; headers?: Record<string, string> }
  | { status: number; raw: string; headers?: Record<string, string> }
  | 'down';

/** What one browser notes, for all of its tabs. */
function newNote() {
  const note = {
    value: null as string | null,
    get: () => note.value,
    set: (to: string | null) => void (note.value = to),
  };
  return note;
}

/** An api that answers by a script and remembers what it was asked. */
function fakeApi(answer: (call: Call) => Answer | Promise<Answer>, note = newNote()) {
  const calls: Call[] = [];
  const fetcher = (async (path: string, init: RequestInit) => {
    const headers = init.headers as Record<string, string>;
    const call = {
      path,
      method: init.method ?? 'GET',
      bearer: headers['authorization']?.replace('Bearer ', '') ?? null,
      body: typeof init.body === 'string' ? JSON.parse(init.body) : (init.body ?? null),
      contentType: headers['content-type'],
    };
    calls.push(call);
    const given = await answer(call);
    if (given === 'down') throw new TypeError('Failed to fetch');
    const json = 'json' in given && given.json !== undefined ? JSON.stringify(given.json) : null;
    const body = 'raw' in given ? given.raw : json;
    return new Response(body, {
      status: given.status,
      headers: { 'content-type': 'application/json', ...given.headers },
    });
  }) as typeof fetch;
  const views: SessionView[] = [];
  const pauses: number[] = [];
  /** What happens meanwhile; the wait itself takes no time. */
  const meanwhile: { during: (pause: number) => void | Promise<void> } = { during: () => undefined };
  const session = new Session({
    fetch: fetcher,
    note,
    changed: (view) => void views.push(view),
    pause: async (ms) => {
      pauses.push(ms);
      await meanwhile.during(pauses.length);
    },
    alone: (task) => task(),
  });
  const refreshes = () => calls.filter((call) => call.path === '/api/auth/refresh');
  return { session, calls, note, refreshes, views, pauses, meanwhile };
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

  it('sends a file as it is, again too', async () => {
    const { session, expire, calls } = rotating(cookie);
    await session.login({ login: 'ana', password: 'secret-word' });
    expire();
    const body = new Blob(['a picture'], { type: 'image/webp' });
    await session.request('/api/users/me/avatar', { method: 'PUT', body });
    const sent = calls.filter(({ path }) => path === '/api/users/me/avatar');
    expect(sent.map((call) => [call.body, call.contentType])).toEqual([
      [body, 'image/webp'],
      [body, 'image/webp'],
    ]);
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
    const { session, note } = rotating(true);
    note.value = ANA.id;
    await session.restore();
    expect(session.account).toEqual(ANA);
    await expect(session.request('/api/streams/mine')).resolves.toEqual({ ok: true });
  });

  it('is over when the refresh is refused', async () => {
    const { session, note } = fakeApi(({ path }) =>
      path === '/api/auth/login'
        ? { status: 200, json: { accessToken: 'a', refreshToken: 'r', user: ANA } }
        : EXPIRED,
    );
    await session.login({ login: 'ana', password: 'secret-word' });
    await expect(session.request('/api/streams/mine')).rejects.toMatchObject({ status: 401 });
    expect(session.account).toBeNull();
    expect(note.value).toBeNull();
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

  it('takes a page for no answer of the api, whatever its status', async () => {
    const { session } = fakeApi(() => ({ status: 200, raw: '<!doctype html><title>Log in</title>' }));
    await expect(session.request('/api/streams')).rejects.toBeInstanceOf(Unreachable);
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
});

const LOGGED_IN: Answer = { status: 200, json: { accessToken: 'a', refreshToken: 'r', user: ANA } };
const NOT_THE_API = { 'content-type': 'text/html' };
/** Everything that keeps the api from answering, and says nothing about the account. */
const HICCUPS: [string, Answer][] = [
  ['503', { status: 503, json: { code: 'unavailable' }, headers: { 'retry-after': '2' } }],
  ['429', { status: 429, json: { code: 'rate_limited' }, headers: { 'retry-after': '7' } }],
  ['500', { status: 500, json: { code: 'internal' } }],
  ['a dropped network', 'down'],
  ['a proxy without a server behind it', { status: 502, headers: NOT_THE_API }],
  ['a proxy that wants a password', { status: 401, headers: NOT_THE_API }],
  ['a firewall', { status: 403, headers: NOT_THE_API }],
  [
    'a network that wants a log-in',
    { status: 200, raw: '<!doctype html><title>Log in</title>', headers: NOT_THE_API },
  ],
  ['a machine between that answers in JSON of its own', { status: 200, json: { login: 'required' } }],
];

describe.each(HICCUPS)('a session that meets %s', (_, hiccup) => {
  it('while it is restored is restored later', async () => {
    let left = 3;
    const { session, note, pauses, views } = fakeApi(({ path }) =>
      path === '/api/auth/refresh' && left-- > 0 ? hiccup : LOGGED_IN,
    );
    note.value = ANA.id;
    await session.restore();
    expect(session.account).toEqual(ANA);
    expect(pauses.length).toBeGreaterThan(0);
    expect(views.some(({ restoring, away }) => restoring && away)).toBe(true);
    expect(views.at(-1)).toEqual({ account: ANA, restoring: false, away: false, leaving: 'no' });
    expect(note.value).toBe(ANA.id);
  });

  it('while it logs out is not called over before the server has ended it', async () => {
    let left = 2;
    const { session, note, views, meanwhile } = fakeApi(({ path }) => {
      if (path !== '/api/auth/logout') return LOGGED_IN;
      return left-- > 0 ? hiccup : { status: 204 };
    });
    await session.login({ login: 'ana', password: 'secret-word' });
    meanwhile.during = () => {
      expect(session.account).toEqual(ANA);
      expect(views.at(-1)?.leaving).toBe('delayed');
      expect(note.value).toBe(LEAVING);
    };
    await expect(session.logout()).resolves.toBe(true);
    expect(left).toBe(-1);
    expect(session.account).toBeNull();
    expect(note.value).toBeNull();
  });
});

describe('a session', () => {
  it.each([
    [401, 'refresh_invalid'],
    [401, 'refresh_reused'],
    [403, 'banned'],
  ])('is not restored when the api says %d %s', async (status, code) => {
    const { session, note, pauses, views } = fakeApi(() => ({ status, json: { code } }));
    note.value = ANA.id;
    await session.restore();
    expect(views.at(-1)).toEqual({ account: null, restoring: false, away: false, leaving: 'no' });
    expect(note.value).toBeNull();
    expect(pauses).toEqual([]);
  });

  it('waits as long as the server asks for, and longer each time', async () => {
    let left = 8;
    const { session, note, pauses } = fakeApi(() =>
      left-- > 0
        ? { status: 429, json: { code: 'rate_limited' }, headers: { 'retry-after': '7' } }
        : LOGGED_IN,
    );
    note.value = ANA.id;
    await session.restore();
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(7000);
    expect(Math.max(...pauses)).toBeGreaterThan(10_000);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_000);
  });

  it('waits two minutes at most, however long the server asks for', async () => {
    let left = 1;
    const { session, note, pauses } = fakeApi(() =>
      left-- > 0
        ? { status: 429, json: { code: 'rate_limited' }, headers: { 'retry-after': '7200' } }
        : LOGGED_IN,
    );
    note.value = ANA.id;
    await session.restore();
    expect(pauses).toEqual([120_000]);
  });

  it('asks once more with the same token when the answer to a refresh is lost', async () => {
    let lost = 1;
    const { session, note, refreshes, pauses } = fakeApi(() => (lost-- > 0 ? 'down' : LOGGED_IN));
    note.value = ANA.id;
    await session.restore();
    expect(session.account).toEqual(ANA);
    expect(refreshes().map(({ body }) => body)).toEqual([{}, {}]);
    expect(pauses).toEqual([]);
  });

  it('may be entered by hand while it is being restored', async () => {
    const bo = { id: 'u2', username: 'bo' };
    const { session, note, views, meanwhile } = fakeApi(({ path }) =>
      path === '/api/auth/login' ? { status: 200, json: { accessToken: 'b', user: bo } } : 'down',
    );
    note.value = ANA.id;
    let entered: Promise<void> | undefined;
    meanwhile.during = () => void (entered ??= session.login({ login: 'bo', password: 'secret-word' }));
    await session.restore();
    await entered;
    expect(views.at(-1)).toEqual({ account: bo, restoring: false, away: false, leaving: 'no' });
  });

  it('ends by the next visit when the log-out could not be sent before', async () => {
    const { session, note, calls } = fakeApi(() => ({ status: 204 }));
    note.value = LEAVING;
    await session.restore();
    expect(calls.map(({ path }) => path)).toEqual(['/api/auth/logout']);
    expect(note.value).toBeNull();
  });

  it('goes on when somebody takes the log-out back', async () => {
    const { session, note, meanwhile, views } = fakeApi(({ path }) =>
      path === '/api/auth/logout' ? 'down' : LOGGED_IN,
    );
    await session.login({ login: 'ana', password: 'secret-word' });
    meanwhile.during = () => session.stay();
    await expect(session.logout()).resolves.toBe(false);
    expect(views.at(-1)).toEqual({ account: ANA, restoring: false, away: false, leaving: 'no' });
    expect(note.value).toBe(ANA.id);
  });

  it('of another tab is taken up here, and ends here when it ends there', async () => {
    const { session, note } = rotating(true);
    await session.restore();
    note.value = ANA.id;
    await session.sync();
    expect(session.account).toEqual(ANA);
    note.value = LEAVING;
    await session.sync();
    expect(session.account).toEqual(ANA);
    note.value = null;
    await session.sync();
    expect(session.account).toBeNull();
  });

  it('becomes that of whoever logged in last in another tab', async () => {
    const bo = { id: 'u2', username: 'bo' };
    const { session, note } = fakeApi(({ path }) =>
      path === '/api/auth/login' ? LOGGED_IN : { status: 200, json: { accessToken: 'b', user: bo } },
    );
    await session.login({ login: 'ana', password: 'secret-word' });
    note.value = bo.id;
    await session.sync();
    expect(session.account).toEqual(bo);
  });
});

describe('a request of one account, after which another has logged in', () => {
  const BO = { id: 'u2', username: 'bo' };

  /** Ana is about to end her stream, and her token has expired; by default the answer is a long time coming. */
  async function asAna(answer?: (call: Call) => Answer) {
    let late: (answer: Answer) => void = () => undefined;
    const api = fakeApi((call) => {
      if (call.path === '/api/auth/login') {
        const user = (call.body as { login: string }).login === 'ana' ? ANA : BO;
        return { status: 200, json: { accessToken: `of-${user.username}`, user } };
      }
      return answer?.(call) ?? new Promise<Answer>((resolve) => (late = resolve));
    });
    await api.session.login({ login: 'ana', password: 'secret-word' });
    const end = () => api.session.request('/api/streams/s1', { method: 'DELETE' });
    const endedBy = () =>
      api.calls.flatMap(({ path, bearer }) => (path === '/api/streams/s1' ? [bearer] : []));
    return { ...api, end, endedBy, expire: () => late(EXPIRED) };
  }

  it('is not repeated as the other when the cookie has become theirs', async () => {
    const { session, end, endedBy } = await asAna(({ path, bearer }) => {
      if (path === '/api/auth/refresh') return { status: 200, json: { accessToken: 'of-bo', user: BO } };
      return bearer === 'of-bo' ? { status: 204 } : EXPIRED;
    });
    await expect(end()).rejects.toMatchObject({ status: 401 });
    expect(endedBy()).toEqual(['of-ana']);
    expect(session.account).toEqual(BO);
  });

  it.each<[string, (session: Session) => void | Promise<void>]>([
    ['the other who logged in here', (session) => session.login({ login: 'bo', password: 'secret-word' })],
    ['nobody when its own account logged out', (session) => session.forget()],
  ])('is not repeated as %s while it was on its way', async (_, meanwhile) => {
    const { session, end, endedBy, expire, refreshes } = await asAna();
    const ending = end();
    await meanwhile(session);
    expire();
    await expect(ending).rejects.toMatchObject({ status: 401 });
    expect(endedBy()).toEqual(['of-ana']);
    expect(refreshes()).toEqual([]);
  });
});

describe('a log-out that waits for the server', () => {
  /** Two tabs of one browser, both logged in, and a server that hears no log-out until it is `back`. */
  async function twoTabs() {
    const server = { back: false, token: 0 };
    const answer = ({ path, bearer }: Call): Answer => {
      if (path === '/api/auth/logout')
        return server.back ? { status: 204 } : { status: 503, json: { code: 'unavailable' } };
      if (path.startsWith('/api/auth/'))
        return { status: 200, json: { accessToken: `access-${++server.token}`, user: ANA } };
      return bearer === `access-${server.token}` ? { status: 200, json: 'fine' } : EXPIRED;
    };
    const one = fakeApi(answer);
    const other = fakeApi(answer, one.note);
    await one.session.login({ login: 'ana', password: 'secret-word' });
    await other.session.restore();
    server.token += 1;
    /** Logs out in the one tab, which never tries again, as if it were closed. */
    const leave = () =>
      new Promise<void>((noted) => {
        one.meanwhile.during = () => {
          noted();
          return new Promise(() => undefined);
        };
        void one.session.logout();
      });
    return { server, one, other, note: one.note, leave };
  }

  it('is finished by another tab that refreshes after its own tab was closed', async () => {
    const { server, other, note, leave } = await twoTabs();
    await leave();
    other.meanwhile.during = (pause) => {
      expect(note.value).toBe(LEAVING);
      // Five of them wait for the tab that left.
      server.back = pause >= 7;
    };
    await other.session.request('/api/streams/mine');
    await vi.waitFor(() => expect(other.session.account).toBeNull());
    expect(note.value).toBeNull();
    expect(other.calls.at(-1)?.path).toBe('/api/auth/logout');
  });

  it('is taken back in both tabs when somebody stays in one of them', async () => {
    const { one, other, note, leave } = await twoTabs();
    await leave();
    const stayed = new Promise<void>((resolve) => {
      other.meanwhile.during = async () => {
        one.session.stay();
        await other.session.sync();
        resolve();
      };
    });
    await other.session.request('/api/streams/mine');
    await stayed;
    expect(other.views.at(-1)).toEqual({ account: ANA, restoring: false, away: false, leaving: 'no' });
    expect(note.value).toBe(ANA.id);
  });
});

describe('an account that was saved', () => {
  it('is shown at once, unless somebody else has logged in since', async () => {
    const { session, views } = rotating(true);
    await session.login({ login: 'ana', password: 'secret-word' });
    session.show({ ...ANA, displayName: 'Ana Marea' });
    expect(views.at(-1)?.account).toEqual({ ...ANA, displayName: 'Ana Marea' });
    session.show({ id: 'u2', username: 'ben' });
    expect(session.account?.username).toBe('ana');
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

describe('an answer that is no JSON', () => {
  it('comes as the text that it is', async () => {
    const { session } = fakeApi(() => ({
      status: 200,
      raw: 'at,amount\n',
      headers: { 'content-type': 'text/csv; charset=utf-8' },
    }));
    expect(await session.request('/x', { accept: 'text/csv' })).toBe('at,amount\n');
  });

  it('is not taken from a network that wants to be logged in to', async () => {
    const headers = { 'content-type': 'text/html' };
    const { session } = fakeApi(() => ({ status: 200, raw: '<!doctype html>', headers }));
    await expect(session.request('/x', { accept: 'text/csv' })).rejects.toThrow(Unreachable);
  });

  it('may be a problem', async () => {
    const { session } = fakeApi(() => ({ status: 501, json: { code: 'billing_disabled' } }));
    await expect(session.request('/x', { accept: 'text/csv' })).rejects.toMatchObject({
      code: 'billing_disabled',
    });
  });
});

describe('a token for a socket', () => {
  const HOUR = 3_600;
  /** An api whose tokens last so many seconds. */
  function lasting(expiresIn: number) {
    let generation = 0;
    return fakeApi(({ path }) => {
      generation += 1;
      return path === '/api/auth/logout'
        ? { status: 204 }
        : { status: 200, json: { accessToken: `access-${generation}`, expiresIn, user: ANA } };
    });
  }

  it('is nobody’s while nobody is logged in', async () => {
    const { session, calls } = lasting(HOUR);
    await expect(session.token()).resolves.toBeNull();
    expect(calls).toEqual([]);
  });

  it('is the one that requests use, until shortly before it ends', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 0 });
    try {
      const { session, refreshes } = lasting(HOUR);
      await session.login({ login: 'ana', password: 'secret-word' });
      const first = await session.token();
      expect(first).toEqual({ value: 'access-1', renewAt: (HOUR - 60) * 1000 });
      vi.setSystemTime((first?.renewAt ?? 0) - 1);
      expect((await session.token())?.value).toBe('access-1');
      vi.setSystemTime(first?.renewAt ?? 0);
      const [second, third] = await Promise.all([session.token(), session.token()]);
      expect([second?.value, third?.value]).toEqual(['access-2', 'access-2']);
      expect(refreshes()).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('that lasts a minute is not renewed all the time', async () => {
    const { session, refreshes } = lasting(60);
    await session.login({ login: 'ana', password: 'secret-word' });
    await session.token();
    await session.token();
    expect(refreshes()).toEqual([]);
  });

  it('is renewed where the browser lets nothing be noted', async () => {
    const api = rotating(true);
    await api.session.login({ login: 'ana', password: 'x' });
    api.note.value = null;
    await expect(api.session.token('access-1')).resolves.not.toBeNull();
    expect(api.refreshes()).toHaveLength(1);
  });

  it('is waited for while another tab logs out, and asked for when that does not come to an end', async () => {
    for (const note of [null, LEAVING]) {
      const api = rotating(true);
      await api.session.login({ login: 'ana', password: 'x' });
      api.note.value = LEAVING;
      api.meanwhile.during = () => void (api.note.value = note);
      const token = await api.session.token('access-1');
      expect([api.refreshes().length, token === null]).toEqual(note === null ? [0, true] : [1, false]);
      if (note === null) expect(api.session.account).toBeNull();
    }
  });

  it('is another one than the server refused', async () => {
    const { session } = lasting(HOUR);
    await session.login({ login: 'ana', password: 'secret-word' });
    expect((await session.token('access-1'))?.value).toBe('access-2');
    expect((await session.token('access-1'))?.value).toBe('access-2');
  });

  it('is nobody’s when the session is over, and cannot be had while the server is away', async () => {
    let refresh: Answer = 'down';
    const { session } = fakeApi(({ path }) =>
      path === '/api/auth/login' ? { status: 200, json: { accessToken: 'access-1', user: ANA } } : refresh,
    );
    await session.login({ login: 'ana', password: 'secret-word' });
    await expect(session.token('access-1')).rejects.toThrow(Unreachable);
    refresh = { status: 401, json: { code: 'refresh_invalid' } };
    await expect(session.token('access-1')).resolves.toBeNull();
    expect(session.account).toBeNull();
  });
});
