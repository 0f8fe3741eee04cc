import type { Streamer } from '../api/streams.ts';

type Named = Pick<Streamer, 'username' | 'displayName'>;

/** What a person is called: the name they chose to show, else the one they log in with. */
export const nameOf = ({ displayName, username }: Named): string => displayName ?? username;

/** Both, for a name that stands in a sentence: nobody passes there for somebody else by the name they chose to show. */
export function fullNameOf(named: Named): string {
  const handle = handleOf(named);
  return handle === null ? nameOf(named) : `${nameOf(named)} (${handle})`;
}

/** The username, where the name that is shown is another: anybody may be shown by any name, and a username is one person's. */
export const handleOf = (named: Named): string | null =>
  nameOf(named).toLowerCase() === named.username.toLowerCase() ? null : `@${named.username}`;
