import type { Stream } from '../api/streams.ts';

/**
 * Where a picture of the stream is, once there should be one: the server makes the first some seconds after the start,
 * and to ask earlier is an error in the browser's console.
 */
export function posterOf(stream: Stream, now: number): string | null {
  const { isLive, thumbnailUrl, startedAt } = stream;
  if (!isLive || !thumbnailUrl || startedAt === null) return null;
  return now - Date.parse(startedAt) >= FIRST_POSTER_MS ? thumbnailUrl : null;
}

/** Posters are made every ten seconds, and take a few on a busy machine. */
const FIRST_POSTER_MS = 20_000;
