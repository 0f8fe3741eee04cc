import type { NewInvitation } from '../api/admin.ts';

/** As it is typed. */
export interface Draft {
  uses: string;
  days: string;
  note: string;
}

/** What to ask for, or the fields that hold no number the api takes. */
export function toInvite({ uses, days, note }: Draft): NewInvitation | ('uses' | 'days')[] {
  const wrong: ('uses' | 'days')[] = [];
  if (!isWithin(uses, MOST_USES)) wrong.push('uses');
  if (!isWithin(days, MOST_DAYS)) wrong.push('days');
  if (wrong.length > 0) return wrong;
  const wanted = { uses: Number(uses), days: Number(days) };
  return note.trim() === '' ? wanted : { ...wanted, note: note.trim() };
}

/** What whoever is invited opens. The token is behind the `#`, which browsers send to nobody. */
export const invitationLink = (origin: string, token: string): string =>
  `${origin}/register#${new URLSearchParams({ invitation: token })}`;

const isWithin = (text: string, most: number) =>
  /^\s*\d{1,4}\s*$/.test(text) && Number(text) >= 1 && Number(text) <= most;

/** The api's limits. */
export const MOST_USES = 100;
export const MOST_DAYS = 365;
export const LONGEST_NOTE = 100;
