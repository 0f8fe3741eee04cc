import type { Author, Badge } from './frames.ts';
import { asRecord, stringOf } from './json-values.ts';

/** What somebody is in a room. Admins are like moderators of every room. */
export type Role = 'owner' | 'moderator' | 'admin' | 'viewer';

/** What the server says of whoever talks on this connection. */
export interface Standing {
  role: Role;
  banned: boolean;
  /** Milliseconds since 1970; `null` where there is no ban, or none that ends. */
  bannedUntil: number | null;
}

/** `self` in the answer to `authenticate`. A server without moderation says nothing. */
export function readStanding(value: unknown): Standing | null {
  const data = asRecord(value);
  if (data === null) return null;
  const until = Date.parse(stringOf(data['bannedUntil']) ?? '');
  return {
    role: readRole(data['role']) ?? 'viewer',
    banned: data['banned'] === true,
    bannedUntil: Number.isNaN(until) ? null : until,
  };
}

export const readRole = (value: unknown): Role | null => ROLES.find((role) => role === value) ?? null;

/** Whether somebody keeps order: the room's modes do not hold for them. */
export const moderates = (role: Role | null): boolean => role !== null && role !== 'viewer';

/** Nobody acts on equals or upward. What the author of a line was may have changed since; the server has the last word. */
export function mayActOn(
  role: Role | null,
  me: string | null,
  author: Author,
  streamerId: string | undefined,
): boolean {
  if (!moderates(role) || author.id === me || author.id === streamerId) return false;
  return role === 'owner' ? !author.badges.includes('owner') : !moderates(roleOf(author.badges));
}

/** Somebody as they are now: a line has the badges of when it was said. */
export function withRole(author: Author, role: Role | undefined): Author {
  if (role === undefined || author.badges.includes('moderator') === (role === 'moderator')) return author;
  const others = author.badges.filter((badge) => badge !== 'moderator');
  return { ...author, badges: role === 'moderator' ? ['moderator', ...others] : others };
}

/** What the badges on one's own message say. */
export function roleOf(badges: readonly Badge[]): Role {
  return ROLES.find((role) => role !== 'viewer' && badges.includes(role)) ?? 'viewer';
}

/** After a ban for so long (`null`: for good). Who may not talk keeps nobody's order any more. */
export function banned({ role }: Standing, durationSeconds: number | null, now: number): Standing {
  return {
    role: role === 'moderator' ? 'viewer' : role,
    banned: true,
    bannedUntil: durationSeconds === null ? null : now + durationSeconds * 1000,
  };
}

export const unbanned = ({ role }: Standing): Standing => ({ role, banned: false, bannedUntil: null });

/** Whether somebody may not talk at this moment. */
export function isSilenced(standing: Standing | null, now: number): boolean {
  if (standing === null || !standing.banned) return false;
  return standing.bannedUntil === null || standing.bannedUntil > now;
}

/** What counts most, first. */
const ROLES: readonly Role[] = ['owner', 'moderator', 'admin', 'viewer'];
