import { ErrorDetails } from 'hls.js';

/**
 * How long hls.js waits for playlists and media, and how often it asks again.
 *
 * By itself hls.js asks again after a timeout, a 5xx, and any failure while the browser knows that it is offline. After a
 * 4xx, or a connection that fails while the browser takes itself for online, it tries the other levels and then calls the
 * error fatal: from there on `Recovery` asks, for as long as it takes. The page decides when the stream is over.
 */
const RETRY = {
  maxNumRetry: 1_000_000,
  retryDelayMs: 300,
  maxRetryDelayMs: 4_000,
  backoff: 'exponential',
} as const;

export const PLAYLIST_POLICY = {
  // The server may hold a playlist request for three target durations.
  maxTimeToFirstByteMs: 15_000,
  maxLoadTimeMs: 20_000,
  timeoutRetry: { ...RETRY, retryDelayMs: 0 },
  // Whoever waits for the playlist sees nothing at all.
  errorRetry: { ...RETRY, maxRetryDelayMs: 1_000 },
};

/** A few tries, then another level. */
export const MEDIA_POLICY = {
  maxTimeToFirstByteMs: 6_000,
  maxLoadTimeMs: 20_000,
  timeoutRetry: { ...RETRY, maxNumRetry: 3, retryDelayMs: 0 },
  errorRetry: { ...RETRY, maxNumRetry: 5 },
};

/** Without a status these mean that nothing was reached: the viewer's own network, or the whole server. */
export const UNANSWERED: ReadonlySet<string> = new Set([
  ErrorDetails.MANIFEST_LOAD_ERROR,
  ErrorDetails.LEVEL_LOAD_ERROR,
  ErrorDetails.AUDIO_TRACK_LOAD_ERROR,
  ErrorDetails.FRAG_LOAD_ERROR,
]);
