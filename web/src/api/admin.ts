import type { BusyCategory } from './categories.ts';
import { atLeast, PAGE } from './pages.ts';
import type { RegistrationMode } from './registration.ts';
import type { Page, Role, Session } from './session.ts';
import type { Streamer } from './streams.ts';

/** How the platform does. `null` is what nobody measures yet. */
export interface Figures {
  liveStreams: number;
  viewers: number;
  /** The most watched, a hundred at most. */
  streams: { id: string; title: string; username: string; viewers: number; meanLatencyMs: number | null }[];
  /** From the server's receiving of a picture to the screens; `null` while no player tells it. */
  meanLatencyMs: number | null;
  /** A share, of 1, of the last 30 days' probes; `null` before the first. */
  rtmpUptime: number | null;
  /** A share, of 1; `null` while there is nothing to subscribe to. */
  conversion: number | null;
}

/** Somebody, with what is for admins only. */
export interface Person extends Streamer {
  email: string;
  role: Role;
  isStreaming: boolean;
  createdAt: string;
  bannedAt: string | null;
  banReason: string | null;
}

export interface PeopleFilter {
  /** The beginning of a name or an address; empty for everybody. */
  words: string;
  which: 'all' | 'admins' | 'banned';
}

export interface Standing {
  mode: RegistrationMode;
  /** What holds where no admin has said anything. */
  setting: RegistrationMode;
  /** `null` where the setting holds. */
  changedAt: string | null;
}

export interface Invitation {
  id: string;
  note: string | null;
  /** Registrations that it is good for, and those that were. */
  uses: number;
  used: number;
  /** `null`: made at the command line. */
  createdBy: string | null;
  createdAt: string;
  expiresAt: string;
}

export interface NewInvitation {
  uses: number;
  days: number;
  note?: string;
}

interface Subject {
  kind: string;
  id: string | null;
  username: string | null;
}

/** What an admin did. */
export interface AuditRecord {
  id: string;
  createdAt: string;
  /** As in `user.ban`; a newer server may have others. */
  action: string;
  /** `null`: at the command line. */
  actor: Subject | null;
  subject: Subject;
  details: Readonly<Record<string, unknown>>;
  address: string | null;
}

/** A job that was given up. */
export interface DeadLetter {
  id: string;
  topic: string;
  payload: unknown;
  attempts: number;
  lastError: string | null;
  createdAt: string;
  deadAt: string;
}

const AT = '/api/admin';

export const figures = (session: Session): Promise<Figures> => session.request(`${AT}/figures`);

/** Whoever came last is first. */
export function people(
  session: Session,
  { words, which }: PeopleFilter,
  count = PAGE,
): Promise<Page<Person>> {
  const query = new URLSearchParams();
  if (words !== '') query.set('q', words);
  if (which === 'admins') query.set('role', 'admin');
  if (which === 'banned') query.set('banned', 'true');
  const chosen = query.toString();
  return atLeast(session, `${AT}/users${chosen === '' ? '' : `?${chosen}`}`, count, ({ id }: Person) => id);
}

const person = (id: string) => `${AT}/users/${encodeURIComponent(id)}`;

/** Ends broadcast, log-ins and sockets at once. `reason`: for other admins. */
export const ban = (session: Session, id: string, reason: string): Promise<Person> =>
  session.request(`${person(id)}/ban`, { method: 'PUT', body: reason === '' ? {} : { reason } });

export const unban = (session: Session, id: string): Promise<Person> =>
  session.request(`${person(id)}/ban`, { method: 'DELETE' });

/** What others had better not see. */
export const removeAvatarOf = (session: Session, id: string): Promise<Person> =>
  session.request(`${person(id)}/avatar`, { method: 'DELETE' });

export const setRole = (session: Session, id: string, role: Role): Promise<Person> =>
  session.request(`${person(id)}/role`, { method: 'PUT', body: { role } });

export const standing = (session: Session): Promise<Standing> => session.request(`${AT}/registration`);

/** `null` leaves it to the setting. */
export const setRegistration = (session: Session, mode: RegistrationMode | null): Promise<Standing> =>
  session.request(`${AT}/registration`, { method: 'PATCH', body: { mode } });

/** Those that have not expired, the latest first. */
export const invitations = (session: Session, count = PAGE): Promise<Page<Invitation>> =>
  atLeast(session, `${AT}/invitations`, count, ({ id }: Invitation) => id);

/** With the token, which no later answer has. */
export const invite = (session: Session, wanted: NewInvitation): Promise<Invitation & { token: string }> =>
  session.request(`${AT}/invitations`, { method: 'POST', body: wanted });

export const takeBack = (session: Session, id: string): Promise<void> =>
  session.request(`${AT}/invitations/${encodeURIComponent(id)}`, { method: 'DELETE' });

/** What of the log somebody wants to see; what is absent limits nothing. */
export interface AuditFilter {
  /** Who did it, by the person's id. */
  actor?: string;
  /** To whom, by the person's id. */
  subject?: string;
  /** As in `user.ban`. */
  action?: string;
  /** Done then or later. */
  since?: Date;
  /** Done before then. */
  until?: Date;
}

/** The latest first. */
export function auditLog(session: Session, filter: AuditFilter, count = PAGE): Promise<Page<AuditRecord>> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter) as [string, string | Date | undefined][]) {
    if (value !== undefined) query.set(name, value instanceof Date ? value.toISOString() : value);
  }
  const chosen = query.toString();
  const path = `${AT}/audit-log${chosen === '' ? '' : `?${chosen}`}`;
  return atLeast(session, path, count, ({ id }: AuditRecord) => id);
}

/** The latest first. */
export const deadLetters = (session: Session, count = PAGE): Promise<Page<DeadLetter>> =>
  atLeast(session, `${AT}/dead-letters`, count, ({ id }: DeadLetter) => id);

export const retry = (session: Session, id: string): Promise<void> =>
  session.request(`${AT}/dead-letters/${encodeURIComponent(id)}/retry`, { method: 'POST' });

/** Its address is made of its name where none is said. */
export const addCategory = (
  session: Session,
  fields: { name: string; slug?: string },
): Promise<BusyCategory> => session.request('/api/categories', { method: 'POST', body: fields });

/** What is absent stays as it is. */
export const changeCategory = (
  session: Session,
  slug: string,
  changes: { name?: string; slug?: string },
): Promise<BusyCategory> =>
  session.request(`/api/categories/${encodeURIComponent(slug)}`, { method: 'PATCH', body: changes });

/** Takes it from every stream, too. */
export const removeCategory = (session: Session, slug: string): Promise<void> =>
  session.request(`/api/categories/${encodeURIComponent(slug)}`, { method: 'DELETE' });

export const setIcon = (session: Session, slug: string, picture: Blob): Promise<BusyCategory> =>
  session.request(`/api/categories/${encodeURIComponent(slug)}/icon`, { method: 'PUT', body: picture });

export const removeIcon = (session: Session, slug: string): Promise<BusyCategory> =>
  session.request(`/api/categories/${encodeURIComponent(slug)}/icon`, { method: 'DELETE' });
