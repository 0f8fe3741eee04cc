import { randomUUID } from 'node:crypto';
import type { AuditRecord, DeadLetter, Figures, Invitation, Person, Standing } from '../src/api/admin.ts';
import type { RegistrationMode } from '../src/api/registration.ts';
import { CATEGORIES, ok, page, type FakeAnswer, type Question } from './fake-people.ts';

const DAY_MS = 86_400_000;
const ago = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString();

export const registration: Standing = { mode: 'open', setting: 'open', changedAt: null };

const tokens = new Map<string, string>();
export const isInvitation = (token: string | undefined) =>
  token !== undefined && [...tokens.values()].includes(token);

/** What admins see, who may register, and the writing side of categories; `null` for what is none of them. */
export function answerAdmin(question: Question): FakeAnswer | null {
  const { method, url, body, me } = question;
  const [noun, first, second, third] = url.pathname.split('/').slice(2).map(decodeURIComponent);
  if (noun === 'registration') return ok({ mode: registration.mode });
  const writesCategories = noun === 'categories' && method !== 'GET';
  if (noun !== 'admin' && !writesCategories) return null;
  if (me === null) return { status: 401, code: 'unauthenticated' };
  if (me.role !== 'admin') return { status: 403, code: 'forbidden' };
  if (writesCategories) return writeCategory(method, first, body);
  switch (first) {
    case 'figures':
      return ok(figures(question));
    case 'registration':
      if (method === 'PATCH') {
        const mode = body['mode'] as RegistrationMode | null;
        registration.mode = mode ?? registration.setting;
        registration.changedAt = mode === null ? null : ago(0);
      }
      return ok(registration);
    case 'invitations':
      return answerInvitations(question, second);
    case 'users':
      return second === undefined ? listPeople(question) : changePerson(question, second, third);
    case 'audit-log':
      return page(LOG, url);
    case 'dead-letters':
      if (method === 'GET') return page(jobs, url);
      jobs = jobs.filter(({ id }) => id !== second);
      return { status: 202 };
  }
  return { status: 404, code: 'not_found' };
}

function figures({ live }: Question): Figures {
  const streams = live.map(({ id, title, user, viewerCount }) => ({
    id,
    title,
    username: user.username,
    viewers: viewerCount,
    meanLatencyMs: viewerCount === 0 ? null : 2100 + (viewerCount % 7) * 100,
  }));
  return {
    liveStreams: live.length,
    viewers: streams.reduce((sum, { viewers }) => sum + viewers, 0),
    streams: streams.sort((a, b) => b.viewers - a.viewers),
    meanLatencyMs: 2345,
    rtmpUptime: 0.99954,
    conversion: null,
  };
}

function answerInvitations({ method, url, body, me }: Question, id: string | undefined): FakeAnswer {
  if (method === 'GET') return page(invitations, url);
  if (method === 'DELETE') {
    invitations = invitations.filter((one) => one.id !== id);
    return { status: 204 };
  }
  const made: Invitation = {
    id: randomUUID(),
    note: (body['note'] as string | undefined) ?? null,
    uses: Number(body['uses']),
    used: 0,
    createdBy: me?.username ?? null,
    createdAt: ago(0),
    expiresAt: ago(-Number(body['days'])),
  };
  const token = `inv_${randomUUID().replaceAll('-', '')}`;
  tokens.set(made.id, token);
  invitations = [made, ...invitations];
  return { status: 201, value: { ...made, token } };
}

function listPeople({ url, users }: Question): FakeAnswer {
  const asked = url.searchParams;
  const words = (asked.get('q') ?? '').toLowerCase();
  const signedUp = users
    .filter(({ id }) => !people.some((one) => one.id === id))
    .map(({ id, username, email, displayName = null, role = 'user' }) =>
      person({ id, username, email, displayName, role }),
    );
  people = [...signedUp, ...people];
  const fits = (text: string | null | undefined) => text?.toLowerCase().startsWith(words) === true;
  const wanted = people.filter(
    (one) =>
      (fits(one.username) || fits(one.displayName) || fits(one.email)) &&
      (asked.get('role') === null || one.role === asked.get('role')) &&
      (asked.get('banned') === null || one.bannedAt !== null),
  );
  return page(wanted, url);
}

function changePerson({ method, body }: Question, id: string, what: string | undefined): FakeAnswer {
  const found = people.find((one) => one.id === id);
  if (found === undefined) return { status: 404, code: 'not_found' };
  if (what === 'role') found.role = body['role'] as Person['role'];
  else if (found.role === 'admin') return { status: 409, code: 'is_admin' };
  else {
    found.bannedAt = method === 'PUT' ? ago(0) : null;
    found.banReason = (body['reason'] as string | undefined) ?? null;
  }
  return ok(found);
}

function writeCategory(method: string, slug: string | undefined, body: Question['body']): FakeAnswer {
  const at = CATEGORIES.findIndex((one) => one.slug === slug);
  const [name, address] = [body['name'] as string | undefined, body['slug'] as string | undefined];
  if (method === 'POST' && name !== undefined) {
    const made = { id: randomUUID(), name, slug: address ?? name.toLowerCase().replaceAll(' ', '-') };
    CATEGORIES.push(made);
    return { status: 201, value: made };
  }
  const found = CATEGORIES[at];
  if (found === undefined) return { status: 404, code: 'not_found' };
  if (method === 'DELETE') {
    CATEGORIES.splice(at, 1);
    return { status: 204 };
  }
  return ok(Object.assign(found, name !== undefined && { name }, address !== undefined && { slug: address }));
}

function person(one: Pick<Person, 'id' | 'username' | 'email'> & Partial<Person>): Person {
  return {
    displayName: null,
    avatar: null,
    role: 'user',
    isStreaming: one.username === 'marea',
    createdAt: ago(40),
    bannedAt: null,
    banReason: null,
    ...one,
  };
}

let people: Person[] = [
  person({
    id: 'p-ruth',
    username: 'ruth',
    displayName: 'Ruth',
    email: 'ruth@example.org',
    role: 'admin',
  }),
  person({
    id: 'p-pills',
    username: 'cheap_pills_24_7_online',
    email: 'a.very.long.address.that.nobody.would.type@mail.of-some-place-far-away.example.com',
    bannedAt: ago(2),
    banReason:
      'The same advertisement in every chat, under three names so far.\nSee the log of last Tuesday.',
  }),
  ...Array.from({ length: 30 }, (_, n) =>
    person({ id: `p-${n}`, username: `viewer_${n + 1}`, email: `viewer${n + 1}@example.org` }),
  ),
];

let invitations: Invitation[] = [
  {
    id: 'i-1',
    note: 'The choir',
    uses: 30,
    used: 12,
    createdBy: 'marea',
    createdAt: ago(3),
    expiresAt: ago(-11),
  },
  { id: 'i-2', note: null, uses: 1, used: 0, createdBy: null, createdAt: ago(1), expiresAt: ago(-6) },
];

const LOG: AuditRecord[] = (
  [
    ['user.ban', { reason: 'The same advertisement in every chat' }, '203.0.113.7'],
    ['user.role', { from: 'user', to: 'admin' }, null],
    [
      'registration.change',
      { from: 'open', to: 'invitation', bySetting: false },
      '2001:db8:17:4a:9c01:22ff:fe5e:88b1',
    ],
    ['invitation.create', { uses: 30, note: 'The choir' }, '203.0.113.7'],
    [
      'category.edit',
      { formerSlug: 'games', name: 'Software and games', slug: 'software-and-games' },
      '203.0.113.7',
    ],
    ['stream.end', { owner: 'u-kim' }, '203.0.113.7'],
  ] as const
).flatMap(([action, details, address], n) =>
  Array.from({ length: 5 }, (_, again) => ({
    id: `a-${n}-${again}`,
    createdAt: ago(n + again * 7),
    action,
    actor: address === null ? null : { kind: 'user', id: 'u-marea', username: 'marea' },
    subject: { kind: 'user', id: 'u-kim', username: 'cheap_pills_24_7_online' },
    details,
    address,
  })),
);

let jobs: DeadLetter[] = [
  {
    id: 'j-1',
    topic: 'notify_followers',
    payload: { streamer: 'u-marea', stream: '01926f00-0000-7000-8000-000000000001', after: null },
    attempts: 12,
    lastError:
      'error returned from database: deadlock detected (Process 4711 waits for ShareLock on transaction 981723; blocked by process 4712)',
    createdAt: ago(1.2),
    deadAt: ago(0.9),
  },
  {
    id: 'j-2',
    topic: 'reindex',
    payload: {},
    attempts: 1,
    lastError: null,
    createdAt: ago(4),
    deadAt: ago(4),
  },
];
