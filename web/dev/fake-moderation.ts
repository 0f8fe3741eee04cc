import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Action, Ban, ChatSettings, Moderator, Term } from '../src/api/moderation.ts';
import type { Streamer } from '../src/api/streams.ts';
import { personOf, userOf } from './fake-api.ts';
import { bodyOf, send } from './fake-live.ts';

interface Somebody {
  id: string;
  username: string;
}

interface Refusal {
  code: string;
  retryAfterMs?: number;
}

/** Who keeps order in the one room, and what they have decided. `marea` streams; she has a moderator, a ban and a log already. */
export class FakeModeration {
  settings: ChatSettings = {
    slowSeconds: 0,
    followersOnlyMinutes: null,
    subsOnly: false,
    emoteOnly: false,
    uniqueOnly: false,
    links: 'allow',
  };
  #moderators: Moderator[] = [{ user: streamer(IVY), since: ago(500) }];
  #bans: Ban[] = [
    {
      user: streamer(TROLL),
      by: streamer(MAREA),
      reason: 'the same link all night',
      expiresAt: null,
      createdAt: ago(90),
    },
  ];
  #terms: Term[] = [{ id: 't1', term: 'spoiler*', createdAt: ago(700) }];
  #log: Action[] = [
    act(ago(90), MAREA, 'ban', TROLL, { durationSeconds: null, reason: 'the same link all night' }),
    act(ago(95), IVY, 'timeout', TROLL, { durationSeconds: 600, reason: null }),
    act(ago(300), IVY, 'change_settings', null, { slowSeconds: 0, links: 'allow' }),
    act(ago(500), MAREA, 'add_moderator', IVY, {}),
    act(ago(700), MAREA, 'add_term', null, { term: 'spoiler*' }),
    ...Array.from({ length: 40 }, (_, n) => act(ago(800 + n * 60), IVY, 'delete_message', TROLL, {})),
  ];

  constructor(private readonly tell: (event: string, data: object) => void) {}

  badges(id: string): string[] {
    if (id === MAREA.id) return ['owner'];
    return [
      ...(this.#moderators.some(({ user }) => user.id === id) ? ['moderator'] : []),
      ...(id === ADMIN ? ['admin'] : []),
    ];
  }

  moderates(id: string): boolean {
    return this.badges(id).length > 0;
  }

  standing(id: string) {
    const ban = this.#banOf(id);
    return {
      role: this.badges(id)[0] ?? 'viewer',
      banned: ban !== null,
      bannedUntil: ban?.expiresAt ?? null,
    };
  }

  refusal(id: string, message: string, saidAt = 0): Refusal | null {
    const ban = this.#banOf(id);
    if (ban?.expiresAt === null) return { code: 'banned_here' };
    if (ban !== null)
      return { code: 'timed_out', retryAfterMs: Date.parse(ban.expiresAt ?? '') - Date.now() };
    if (this.moderates(id)) return null;
    const wait = saidAt + this.settings.slowSeconds * 1000 - Date.now();
    if (wait > 0) return { code: 'slow', retryAfterMs: wait };
    if (this.settings.links === 'block' && message.includes('://')) return { code: 'links_blocked' };
    const blocked = this.#terms.some(({ term }) => message.toLowerCase().includes(term.replaceAll('*', '')));
    return blocked ? { code: 'blocked_term' } : null;
  }

  ban(by: Somebody, user: Somebody, durationSeconds: number | null, reason: string | null): void {
    const expiresAt =
      durationSeconds === null ? null : new Date(Date.now() + durationSeconds * 1000).toISOString();
    this.#bans = this.#bans.filter((ban) => ban.user.id !== user.id);
    this.#bans.unshift({ user: streamer(user), by: streamer(by), reason, expiresAt, createdAt: ago(0) });
    this.#moderators = this.#moderators.filter((moderator) => moderator.user.id !== user.id);
    this.log(by, durationSeconds === null ? 'ban' : 'timeout', user, { durationSeconds, reason });
    this.tell('user_banned', { userId: user.id, username: user.username, durationSeconds });
  }

  log(by: Somebody, action: string, user: Somebody | null, detail: Record<string, unknown> = {}): void {
    this.#log.unshift(act(ago(0), by, action, user, detail));
  }

  async answer(req: IncomingMessage, res: ServerResponse, url: URL): Promise<boolean> {
    const [, noun, id] = /^\/api\/chat\/[^/]+\/(\w+)(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    if (noun === undefined || !NOUNS.has(noun)) return false;
    const me = userOf(req.headers.authorization?.replace('Bearer ', '') ?? '');
    const text = await bodyOf(req);
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    const json = (value: unknown, status = 200) =>
      send(res, status, 'application/json', JSON.stringify(value));
    const problem = (status: number, code: string) =>
      send(
        res,
        status,
        'application/problem+json',
        JSON.stringify({ title: code, status, code, detail: 'The fake says no.', errors: [] }),
      );
    if (me === null) problem(401, 'unauthenticated');
    else if (!this.moderates(me.id)) problem(403, 'forbidden');
    else if (req.method === 'GET') this.#list(res, url, noun, json);
    else if (id !== undefined && noun !== 'terms' && personOf(decodeURIComponent(id)) === null)
      problem(404, 'not_found');
    else {
      const value = this.#change(me, req.method ?? '', noun, decodeURIComponent(id ?? ''), body);
      if (value === undefined) res.writeHead(204).end();
      else json(value, noun === 'terms' ? 201 : 200);
    }
    return true;
  }

  #list(res: ServerResponse, url: URL, noun: string, json: (value: unknown) => void): void {
    if (noun === 'settings') return json(this.settings);
    if (noun === 'terms') return json(this.#terms);
    if (noun === 'moderators') return json(this.#moderators);
    const all = noun === 'bans' ? this.#bans.filter(({ user }) => this.#banOf(user.id) !== null) : this.#log;
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const limit = Number(url.searchParams.get('limit') ?? 20);
    if (from + limit < all.length) {
      res.setHeader('link', `<${url.pathname}?limit=${limit}&cursor=${from + limit}>; rel="next"`);
    }
    json(all.slice(from, from + limit));
  }

  #change(me: Somebody, method: string, noun: string, id: string, body: Record<string, unknown>): unknown {
    const user = personOf(id);
    if (noun === 'settings') {
      this.settings = { ...this.settings, ...body };
      this.log(me, 'change_settings', null, body);
      this.tell('chat_settings', { settings: this.settings });
      return this.settings;
    }
    if (noun === 'terms' && method === 'POST') {
      const term = { id: randomUUID(), term: String(body['term']), createdAt: ago(0) };
      this.#terms.unshift(term);
      this.log(me, 'add_term', null, { term: term.term });
      return term;
    }
    if (noun === 'terms') {
      const term = this.#terms.find((one) => one.id === id)?.term;
      this.#terms = this.#terms.filter((one) => one.id !== id);
      this.log(me, 'remove_term', null, { term });
    } else if (noun === 'moderators' && user !== null) {
      this.#moderators = this.#moderators.filter((one) => one.user.id !== id);
      if (method === 'PUT') this.#moderators.unshift({ user: streamer(user), since: ago(0) });
      this.log(me, method === 'PUT' ? 'add_moderator' : 'remove_moderator', user);
    } else if (noun === 'bans' && user !== null) {
      this.#bans = this.#bans.filter((ban) => ban.user.id !== id);
      this.log(me, 'unban', user);
      this.tell('user_unbanned', { userId: id, username: user.username });
    }
    return undefined;
  }

  #banOf(id: string): Ban | null {
    const ban = this.#bans.find(({ user }) => user.id === id);
    const over = ban !== undefined && ban.expiresAt !== null && Date.parse(ban.expiresAt) <= Date.now();
    return over ? null : (ban ?? null);
  }
}

function act(
  at: string,
  by: Somebody,
  action: string,
  user: Somebody | null,
  detail: Record<string, unknown>,
): Action {
  return { id: randomUUID(), at, action, by: streamer(by), user: user && streamer(user), detail };
}

function streamer({ id, username }: Somebody): Streamer {
  return { id, username, displayName: null, avatar: null };
}

function ago(minutes: number): string {
  return new Date(Date.now() - minutes * 60_000).toISOString();
}

const NOUNS = new Set(['settings', 'terms', 'moderators', 'bans', 'modlog']);
const MAREA = { id: 'u-marea', username: 'marea' };
const IVY = { id: 'u-ivy_and_oak', username: 'ivy_and_oak' };
const TROLL = { id: 'u-under_the_bridge', username: 'under_the_bridge' };
const ADMIN = 'u-kilohertz';
