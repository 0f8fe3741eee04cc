import type { Plans } from '../src/api/billing.ts';
import type { BusyCategory } from '../src/api/categories.ts';
import type { Role } from '../src/api/session.ts';
import type { OwnProfile, Profile } from '../src/api/people.ts';
import type { Found } from '../src/api/search.ts';
import type { Category, Stream, Streamer } from '../src/api/streams.ts';

/** What the fake knows of somebody. */
export interface Person {
  id: string;
  username: string;
  email: string;
  displayName?: string | null;
  bio?: string | null;
  role?: Role;
}

/** An answer: 204 has no value, errors have a code. */
export type FakeAnswer =
  | { status: 200 | 201; value: unknown; next?: string }
  | { status: 202 | 204 }
  | { status: 401 | 403 | 404 | 409 | 422; code: string };

export interface Question {
  method: string;
  url: URL;
  body: Record<string, unknown>;
  me: Person | null;
  /** The streams that are live. */
  live: Stream[];
  /** Those who signed up. */
  users: Person[];
}

/** Whom somebody follows and blocks, by their id. */
const follows = new Map<string, Set<string>>();
const blocks = new Map<string, Set<string>>();
const of = (sets: Map<string, Set<string>>, id: string) => {
  const found = sets.get(id) ?? new Set<string>();
  sets.set(id, found);
  return found;
};

/** Channels, follows, blocks, what is sold (nothing), categories and search; `null` for what is none of them. */
export function answerPeople(question: Question): FakeAnswer | null {
  const { method, url, me, live } = question;
  const parts = url.pathname.split('/').slice(2).map(decodeURIComponent);
  const [noun, first, second, third] = parts;
  if (noun === 'search') return ok(search(question));
  if (noun === 'categories') return categories(question, first, second);
  if (noun === 'billing' && first === undefined)
    return ok({ enabled: false, currency: null, withdrawalDays: null });
  if (noun !== 'users') return null;
  if (first === 'me') {
    if (me === null) return { status: 401, code: 'unauthorized' };
    if (second === undefined) {
      if (method === 'PATCH') Object.assign(me, question.body);
      return ok(account(me, live));
    }
    if (second === 'following') return ok(live.filter(({ user }) => of(follows, me.id).has(user.id)));
    if (third === undefined) {
      const blocked = everybody(question).filter(({ id }) => of(blocks, me.id).has(id));
      return ok(blocked.map((user) => ({ user: publicly(user), blockedAt: new Date().toISOString() })));
    }
    change(blocks, me.id, third, method === 'PUT');
    if (method === 'PUT') of(follows, me.id).delete(third);
    return { status: 204 };
  }
  const person = everybody(question).find(({ id, username }) => first === id || first === `@${username}`);
  if (person === undefined) return { status: 404, code: 'not_found' };
  if (second === undefined) return ok(profile(person, me, live));
  if (second === 'streams') {
    if (url.searchParams.get('live') === 'true') return ok(live.filter(({ user }) => user.id === person.id));
    return page(past(person), url);
  }
  if (second === 'plans') return ok(nothingSold(person));
  if (me === null) return { status: 401, code: 'unauthorized' };
  if (me.id === person.id) return { status: 422, code: 'oneself' };
  change(follows, me.id, person.id, method === 'POST');
  return { status: 204 };
}

export const ok = (value: unknown): FakeAnswer => ({ status: 200, value });

export function page(all: unknown[], url: URL): FakeAnswer {
  const [from, limit] = [
    Number(url.searchParams.get('cursor') ?? 0),
    Number(url.searchParams.get('limit') ?? 20),
  ];
  const value = all.slice(from, from + limit);
  if (from + limit >= all.length) return { status: 200, value };
  const query = new URLSearchParams(url.searchParams);
  query.set('cursor', String(from + limit));
  return { status: 200, value, next: `${url.pathname}?${query}` };
}

function change(sets: Map<string, Set<string>>, who: string, whom: string, wanted: boolean) {
  if (wanted) of(sets, who).add(whom);
  else of(sets, who).delete(whom);
}

/** Those who signed up, and those who are only made up. */
function everybody({ users, live }: Question): Person[] {
  const made = live
    .filter(({ user }) => !users.some(({ id }) => id === user.id))
    .map(({ user }) => ({
      ...user,
      email: '',
      bio: `Hello, this is ${user.username}.\nLive most evenings.`,
    }));
  return [...users, ...made];
}

const publicly = ({ id, username, displayName = null }: Person): Streamer => ({
  id,
  username,
  displayName,
  avatar: null,
});

function profile(person: Person, me: Person | null, live: Stream[]): Profile {
  const streamId = live.find(({ user }) => user.id === person.id)?.id ?? null;
  const isFollowing = me === null ? null : of(follows, me.id).has(person.id);
  return {
    ...publicly(person),
    bio: person.bio ?? null,
    createdAt: '2026-01-02T12:00:00Z',
    isStreaming: streamId !== null,
    streamId,
    followers: 1203 + Number(isFollowing === true),
    following: 12,
    isFollowing,
    isBlocked: me === null ? null : of(blocks, me.id).has(person.id),
  };
}

const nothingSold = ({ id }: Person): Plans => ({
  streamerId: id,
  paymentMethods: [],
  selling: false,
  plans: [],
  withdrawalDays: 0,
  subscription: null,
});

function account(me: Person, live: Stream[]): OwnProfile & { isStreaming: boolean } {
  const isStreaming = live.some(({ user }) => user.id === me.id);
  return {
    ...publicly(me),
    displayName: me.displayName ?? null,
    email: me.email,
    bio: me.bio ?? null,
    role: me.role ?? 'user',
    isStreaming,
  };
}

function past(person: Person): Stream[] {
  return Array.from({ length: person.username === 'newcomer' ? 0 : 27 }, (_, n) => {
    const startedAt = Date.parse('2026-05-20T18:00:00Z') - n * 3 * 86_400_000;
    return {
      id: `past-${person.id}-${n}`,
      user: publicly(person),
      title: `Evening ${27 - n}: what we left off with`,
      description: null,
      categories: n % 3 === 0 ? CATEGORIES.slice(0, 2) : [],
      language: null,
      thumbnailUrl: null,
      streamUrl: null,
      dashUrl: null,
      isLive: false,
      viewerCount: 0,
      startedAt: new Date(startedAt).toISOString(),
      endedAt: new Date(startedAt + (20 + n * 11) * 60_000).toISOString(),
      createdAt: new Date(startedAt).toISOString(),
    };
  });
}

function categories({ url, live }: Question, slug?: string, list?: string): FakeAnswer {
  const wanted = (url.searchParams.get('q') ?? '').toLowerCase();
  const all = CATEGORIES.map((category) => busy(category, live)).sort((a, b) => b.viewers - a.viewers);
  if (slug === undefined)
    return page(
      all.filter(({ name }) => name.toLowerCase().includes(wanted)),
      url,
    );
  const found = all.find((category) => category.slug === slug);
  if (found === undefined) return { status: 404, code: 'not_found' };
  if (list === undefined) return ok(found);
  const language = url.searchParams.get('language');
  const inIt = live.filter(
    (stream) =>
      stream.categories.some(({ id }) => id === found.id) &&
      (language === null || stream.language === language),
  );
  return page(inIt, url);
}

function busy(category: Category, live: Stream[]): BusyCategory {
  const streams = live.filter(({ categories: its }) => its.some(({ id }) => id === category.id));
  const viewers = streams.reduce((sum, { viewerCount }) => sum + viewerCount, 0);
  return { ...category, icon: null, liveStreams: streams.length, viewers };
}

function search(question: Question): Found {
  const wanted = (question.url.searchParams.get('q') ?? '').toLowerCase();
  const fits = (text: string) => text.toLowerCase().includes(wanted);
  const { live } = question;
  return {
    channels: everybody(question)
      .filter((person) => fits(person.username) || fits(person.displayName ?? ''))
      .slice(0, 10)
      .map((person) => {
        const { isStreaming, followers } = profile(person, null, live);
        return { ...publicly(person), isStreaming, followers };
      }),
    streams: live.filter(({ title }) => fits(title)).slice(0, 10),
    categories: CATEGORIES.filter(({ name }) => fits(name))
      .slice(0, 10)
      .map((category) => busy(category, live)),
  };
}

/** The ids are those of the streams in fake-api.ts. */
export const CATEGORIES: Category[] = [
  'Science',
  'Art',
  'Making',
  'Music',
  'Cooking',
  'Just talking',
  'Software and games',
  'Sports',
  'Travel',
  'Nature and animals',
  'Language learning',
  'Chess',
].map((name, n) => ({ id: `c${n + 1}`, name, slug: name.toLowerCase().replaceAll(' ', '-') }));
