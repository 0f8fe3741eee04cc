import type { Stream } from '../api/streams.ts';

/**
 * Where a picture of the stream is, once there should be one: the server makes the first some seconds after the start,
 * and to ask earlier is an error in the browser's console.
 */
export function posterOf(stream: Stream, now: number): string | null {
  const { isLive, thumbnailUrl } = stream;
  // The streamer's own is there before the stream begins, and stays.
  if (thumbnailUrl && isUploaded(thumbnailUrl)) return thumbnailUrl;
  if (!isLive || !thumbnailUrl) return null;
  return sinceFirst(stream, now) >= 0 ? thumbnailUrl : null;
}

/**
 * The same for a page that stays open. Posters change under one address: this one changes once for each of them, so that
 * none is fetched twice. A signed address must stay as it is.
 */
export function newestPosterOf(stream: Stream, now: number): string | null {
  const url = posterOf(stream, now);
  if (url === null || url.includes('?') || isUploaded(url)) return url;
  return `${url}?t=${Math.floor(sinceFirst(stream, now) / POSTER_STAYS_MS)}`;
}

/** What the streamer uploaded, if anything. */
export const ownPictureOf = ({ thumbnailUrl }: Stream): string | null =>
  thumbnailUrl && isUploaded(thumbnailUrl) ? thumbnailUrl : null;

/** Another picture has another address. */
const isUploaded = (address: string) => address.startsWith(PICTURES);

/** Milliseconds since the first poster was there; less than none before that. */
function sinceFirst({ startedAt }: Stream, now: number): number {
  return startedAt === null ? -1 : now - Date.parse(startedAt) - FIRST_POSTER_MS;
}

/** Where the api keeps what people upload. */
const PICTURES = '/pictures/';
/** It is made after three seconds, ten where keyframes are rare, and takes a few on a busy machine. */
const FIRST_POSTER_MS = 20_000;
/** The default of CAUDAL_POSTER_INTERVAL. */
const POSTER_STAYS_MS = 60_000;
