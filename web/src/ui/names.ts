import type { Streamer } from '../api/streams.ts';

type Named = Pick<Streamer, 'username' | 'displayName'>;

/** What a person is called: the name they chose to show, else the one they log in with. */
export const nameOf = ({ displayName, username }: Named): string => displayName ?? username;
