import type { BusyCategory } from './categories.ts';
import type { Session } from './session.ts';
import type { Stream, Streamer } from './streams.ts';

export interface FoundChannel extends Streamer {
  isStreaming: boolean;
  followers: number;
}

/** Ten of each at most. */
export interface Found {
  channels: FoundChannel[];
  /** Live ones. */
  streams: Stream[];
  categories: BusyCategory[];
}

export const search = (session: Session, query: string): Promise<Found> =>
  session.request(`/api/search?${new URLSearchParams({ q: query })}`);

/** What the api accepts, in characters. */
export const SHORTEST_SEARCH = 2;
export const LONGEST_SEARCH = 64;
