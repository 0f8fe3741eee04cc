import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Stream, StreamHealth } from '../src/api/streams.ts';
import { bodyOf, send, type FakeLive } from './fake-live.ts';
import { answerAdmin, isInvitation, registration } from './fake-admin.ts';
import { answerPeople, CATEGORIES, type Person } from './fake-people.ts';

interface User extends Person {
  password: string;
  streamKey: string;
}

const users: User[] = [
  {
    id: 'u-marea',
    username: 'marea',
    email: 'marea@example.org',
    displayName: 'Marea',
    role: 'admin',
    bio: 'Fractals, the sea, and small machines in cupboards.',
    password: 'correct horse',
    streamKey: newKey(),
  },
];
/** By refresh token and by access token. */
const refreshTokens = new Map<string, User>();
const accessTokens = new Map<string, { user: User; until: number }>();
/** Short, so that every look at the pages also sees refreshes. */
const ACCESS_MS = 60_000;

const prepared = new Map<string, Stream>();
/** The stream of the clip belongs to `marea`; her title can be changed. */
const overrides: { title?: string; description?: string } = {};
/** `POST /fake/empty` and `/fake/crowd` decide what the home page shows. */
let crowded = true;

/** Whose access token it is, while it is good. */
export function userOf(token: string): { id: string; username: string } | null {
  const access = accessTokens.get(token);
  return access !== undefined && access.until > Date.now() ? access.user : null;
}

/** Somebody who signed up, or who is only made up: then the id has the name. */
export function personOf(id: string): { id: string; username: string } | null {
  const username = /^u-(.+)$/.exec(id)?.[1];
  return users.find((user) => user.id === id) ?? (username === undefined ? null : { id, username });
}

export async function answerApi(
  req: IncomingMessage,
  res: ServerResponse,
  url: URL,
  live: FakeLive,
): Promise<boolean> {
  const path = url.pathname;
  if (path === '/fake/empty' || path === '/fake/crowd') {
    crowded = path === '/fake/crowd';
    send(res, 200, 'application/json', '{}');
    return true;
  }
  if (!path.startsWith('/api/')) return false;
  const text = await bodyOf(req);
  const body = withCategories((text === '' ? {} : JSON.parse(text)) as Record<string, string>);
  const json = (status: number, value: unknown) =>
    send(res, status, 'application/json', JSON.stringify(value));
  const problem = (status: number, code: string, detail: string, errors: unknown[] = []) =>
    send(
      res,
      status,
      'application/problem+json',
      JSON.stringify({ title: detail, status, code, detail, errors }),
    );
  const token = req.headers.authorization?.replace('Bearer ', '') ?? '';
  const access = accessTokens.get(token);
  const me = access !== undefined && access.until > Date.now() ? access.user : null;
  const cookie = /caudal_refresh=([^;]+)/.exec(req.headers.cookie ?? '')?.[1];
  const at = `${req.method} ${path}`;

  const enter = (status: number, user: User) => {
    const refresh = randomUUID();
    const accessToken = randomUUID();
    refreshTokens.set(refresh, user);
    accessTokens.set(accessToken, { user, until: Date.now() + ACCESS_MS });
    res.setHeader('set-cookie', `caudal_refresh=${refresh}; HttpOnly; SameSite=Strict; Path=/api/auth`);
    json(status, {
      accessToken,
      refreshToken: refresh,
      expiresIn: ACCESS_MS / 1000,
      user: {
        id: user.id,
        username: user.username,
        displayName: user.displayName ?? null,
        email: user.email,
        role: user.role ?? 'user',
      },
    });
  };

  const shown = crowded && live.endedAt === null ? [clip(live), ...OTHERS] : [];
  const question = { method: req.method ?? 'GET', url, body, me, live: shown, users };
  const people = answerAdmin(question) ?? answerPeople(question);
  if (people !== null) {
    if ('code' in people) problem(people.status, people.code, 'The fake says no.');
    else if ('value' in people) {
      if (people.next !== undefined) res.setHeader('link', `<${people.next}>; rel="next"`);
      json(people.status, people.value);
    } else res.writeHead(people.status).end();
    return true;
  }

  if (at === 'POST /api/auth/register') {
    const errors = [];
    if (users.some(({ username }) => username === body['username'])) {
      errors.push({ pointer: '/username', code: 'taken', detail: 'Somebody else has this name.' });
    }
    if (/\s/.test(body['username'] ?? '')) {
      errors.push({ pointer: '/username', code: 'format', detail: 'Letters, digits and _ only.' });
    }
    if (registration.mode === 'closed') problem(403, 'registration_closed', 'Nobody can open an account.');
    else if (registration.mode === 'invitation' && !isInvitation(body['invitation']))
      problem(403, 'invitation_invalid', 'This takes an invitation.');
    else if (errors.length > 0) problem(422, 'invalid', 'Some fields need another look.', errors);
    else {
      const user: User = {
        id: randomUUID(),
        username: body['username'] ?? '',
        email: body['email'] ?? '',
        password: body['password'] ?? '',
        streamKey: newKey(),
      };
      users.push(user);
      enter(201, user);
    }
  } else if (at === 'POST /api/auth/login') {
    const found = users.find(({ username, email }) => username === body['login'] || email === body['login']);
    if (found === undefined || found.password !== body['password']) problem(401, 'bad_credentials', 'Wrong.');
    else enter(200, found);
  } else if (at === 'POST /api/auth/refresh') {
    const given = body['refreshToken'] ?? cookie ?? '';
    const user = refreshTokens.get(given);
    refreshTokens.delete(given);
    if (user === undefined) problem(401, 'refresh_invalid', 'Log in again.');
    else enter(200, user);
  } else if (at === 'POST /api/auth/logout') {
    accessTokens.delete(token);
    if (cookie !== undefined) refreshTokens.delete(cookie);
    res.writeHead(204, { 'set-cookie': 'caudal_refresh=; Max-Age=0; Path=/api/auth' }).end();
  } else if (at === 'GET /api/notifications') {
    json(200, NOTIFICATIONS);
  } else if (at === 'GET /api/notifications/unread' || at === 'PATCH /api/notifications') {
    json(200, { count: req.method === 'GET' ? 2 : 0 });
  } else if (path === '/api/notifications/preferences') {
    json(200, { streamStarted: true, newFollower: body['newFollower'] ?? true });
  } else if (at === 'GET /api/auth/sessions') {
    json(200, logIns());
  } else if (path.startsWith('/api/auth/sessions') || path.startsWith('/api/auth/email/')) {
    res.writeHead(204).end();
  } else if (/^POST \/api\/auth\/password/.test(at) || at === 'DELETE /api/users/me') {
    const mustKnow = body['password'] !== undefined;
    if (mustKnow && body['password'] !== me?.password)
      problem(403, 'wrong_password', 'That is not your password.');
    else res.writeHead(204).end();
  } else if (at === 'GET /api/streams') {
    json(200, shown);
  } else if (/^\/api\/(auth|streams\/(mine|open|failed))/.test(path) && me === null) {
    problem(401, 'unauthorized', 'Log in first.');
  } else if (at === 'GET /api/auth/stream-key' && me !== null) {
    json(200, { streamKey: me.streamKey, rtmpUrl: 'rtmp://localhost:1935/live', rotatedAt: null });
  } else if (at === 'POST /api/auth/stream-key/rotate' && me !== null) {
    if (body['password'] !== me.password) problem(403, 'bad_password', 'That is not your password.');
    else {
      me.streamKey = newKey();
      json(200, {
        streamKey: me.streamKey,
        rtmpUrl: 'rtmp://localhost:1935/live',
        rotatedAt: new Date().toISOString(),
      });
    }
  } else if (at === 'GET /api/streams/mine' && me !== null) {
    const own = me.username === 'marea' && live.endedAt === null ? clip(live) : prepared.get(me.id);
    if (own === undefined) problem(404, 'no_open_stream', 'You have no open stream.');
    else json(200, own);
  } else if (at === 'GET /api/streams/open' && me !== null) {
    const own = me.username === 'marea' && live.endedAt === null ? clip(live) : prepared.get(me.id);
    json(200, own === undefined ? [] : [own]);
  } else if (at === 'GET /api/streams/failed' && me !== null) {
    json(200, []);
  } else if (at === 'POST /api/streams' && me !== null) {
    const stream = { ...clip(live), ...body, id: randomUUID(), user: me, isLive: false, startedAt: null };
    prepared.set(me.id, stream);
    json(201, stream);
  } else if (/^\/api\/streams\/[^/]+\/watching$/.test(path)) {
    res.writeHead(204).end();
  } else if (/^\/api\/streams\/[^/]+\/health$/.test(path)) {
    const pending = { phase: 'Pending', ingest: null, renditions: [], reason: null };
    json(200, path.includes(CLIP) ? health(live) : pending);
  } else if (/^\/api\/streams\/[^/]+$/.test(path)) {
    const id = path.split('/').at(-1);
    const found = [clip(live), WAITING, ...OTHERS, ...prepared.values()].find((stream) => stream.id === id);
    if (found === undefined) problem(404, 'not_found', 'There is no such stream.');
    else if (req.method === 'PATCH') {
      if (id === CLIP) Object.assign(overrides, body);
      else Object.assign(found, body);
      json(200, { ...found, ...body });
    } else if (req.method === 'DELETE') {
      live.weather.ended = true;
      res.writeHead(202).end();
    } else json(200, found);
  } else problem(404, 'not_found', 'The fake does not know this.');
  return true;
}

/** A stream is told the ids of its categories, and tells their names. */
function withCategories(body: Record<string, string>): Record<string, string> {
  const ids: unknown = body['categoryIds'];
  if (!Array.isArray(ids)) return body;
  return Object.assign(body, { categories: CATEGORIES.filter(({ id }) => ids.includes(id)) });
}

const CLIP = '01926f00-0000-7000-8000-000000000001';

function clip(live: FakeLive): Stream {
  return {
    ...sample(CLIP, 'marea', 'Falling into the Mandelbrot set, slowly', 'fractal', 128, 0),
    description:
      'One long zoom, some quiet music, and whatever you ask about.\nEverything runs on one small machine in the cupboard.',
    categories: [
      { id: 'c1', name: 'Science', slug: 'science' },
      { id: 'c2', name: 'Art', slug: 'art' },
    ],
    streamUrl: '/live/fake/master.m3u8',
    isLive: live.endedAt === null,
    startedAt: new Date(live.startedAt).toISOString(),
    endedAt: live.endedAt,
    phase: live.endedAt !== null ? 'Ended' : live.weather.away ? 'Reconnecting' : 'Live',
    ...overrides,
  };
}

function health(live: FakeLive): StreamHealth {
  return {
    phase: live.weather.away ? 'Reconnecting' : 'Live',
    ingest: {
      bitrate: 5_840_000 + Math.round(Math.random() * 300_000),
      fps: 30,
      keyframeIntervalMs: 4500,
      width: 1920,
      height: 1080,
      videoCodec: 'H.264',
      audioCodec: 'AAC',
      encoder: 'obs-output module (libobs version 31.0.0)',
      bFrames: true,
      droppedFrames: 3,
      connectedAt: new Date(live.startedAt).toISOString(),
    },
    renditions: ['source', '720p', '480p'],
    reason: null,
  };
}

function sample(
  id: string,
  username: string,
  title: string,
  poster: string,
  count: number,
  minutes: number,
): Stream {
  return {
    id,
    user: { id: `u-${username}`, username, displayName: username === 'marea' ? 'Marea' : null },
    title,
    description: null,
    categories: [],
    language: null,
    thumbnailUrl: poster === '' ? null : `/thumbnails/${poster}.jpg`,
    streamUrl: null,
    dashUrl: null,
    isLive: true,
    viewerCount: count,
    startedAt: new Date(Date.now() - minutes * 60_000).toISOString(),
    endedAt: null,
    createdAt: new Date(Date.now() - minutes * 60_000).toISOString(),
  };
}

const OTHERS: Stream[] = [
  {
    ...sample('s2', 'Tomás', 'Night drive along the coast, requests welcome', 'dusk', 1204, 192),
    language: 'es',
    categories: [{ id: 'c4', name: 'Music', slug: 'music' }],
  },
  {
    ...sample('s3', 'ivy_and_oak', 'Building a garden shed, day 4', 'forest', 86, 47),
    categories: [{ id: 'c3', name: 'Making', slug: 'making' }],
  },
  sample('s4', 'kilohertz', 'Modular synth, no plan', 'night', 41, 12),
  sample(
    's5',
    'pottery.live',
    'Throwing twelve bowls in one go, and a very long title that has to be cut somewhere sensible because nobody reads that far',
    'clay',
    1,
    0,
  ),
  sample('s6', 'newcomer', 'Testing testing', '', 0, 3),
];

const WAITING: Stream = {
  ...sample('waiting', 'marea', 'Starting soon: questions and answers', 'night', 0, 0),
  isLive: false,
  startedAt: null,
};

/** Two that are new, and one from last week. */
const NOTIFICATIONS = [
  [
    'n-3',
    'stream_started',
    'norte',
    'Norte',
    'Climbing by the fjord, with two cameras and no plan',
    0.2,
    false,
  ],
  ['n-2', 'new_follower', 'kim', null, null, 5, false],
  ['n-1', 'stream_started', 'ana', 'Ana', 'Sourdough on a Sunday', 170, true],
].map(([id, type, username, displayName, title, hours, read]) => ({
  id,
  type,
  title,
  read,
  user: { id: `u-${username}`, username, displayName, avatar: null },
  streamId: type === 'stream_started' ? `s-${username}` : null,
  createdAt: new Date(Date.now() - Number(hours) * 3_600_000).toISOString(),
}));

/** Of a person with two phones, one of them in a drawer. */
function logIns() {
  const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();
  const one = (id: string, hours: number, userAgent: string, ip: string, current = false) => ({
    id,
    createdAt: ago(hours + 100),
    lastUsedAt: ago(hours),
    userAgent,
    ip,
    current,
  });
  return [
    one(
      'l-1',
      0,
      'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0',
      '203.0.113.7',
      true,
    ),
    one(
      'l-2',
      3,
      'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) Version/19.1 Safari/604.1',
      '2001:db8:17:4a:9c01:22ff:fe5e:88b1',
    ),
    one('l-3', 500, 'Mozilla/5.0 (Linux; Android 12) Chrome/120.0.0.0 Mobile Safari/537.36', '198.51.100.23'),
  ];
}

function newKey(): string {
  return `live_${randomUUID().replaceAll('-', '')}`;
}
