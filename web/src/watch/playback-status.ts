/** What the page knows about one stream and its picture at one moment. Times are seconds of one steady clock. */
export interface Observed {
  /** What the api said last; `null` before its first answer. */
  stream: { isLive: boolean; ended: boolean; reconnecting: boolean } | null;
  /** The api did not answer when it was asked last. */
  unanswered: boolean;
  /** The media playlist said that nothing follows (ENDLIST), and all of it has been played. */
  playedToTheEnd: boolean;
  /** The browser refused to play, even without sound, or the viewer pressed pause. */
  paused: boolean;
  /** A picture has been shown since the page was opened. */
  started: boolean;
  /** When the picture last moved. */
  movedAt: number;
  /** When the server last answered anything about the media: a playlist or a piece of it. */
  answeredAt: number;
  /** When something new was last put into the buffer. */
  fedAt: number;
}

export type PlaybackStatus =
  | 'loading'
  /** The stream exists, its publisher has not started. */
  | 'waiting'
  | 'playing'
  | 'paused'
  /** The viewer's network is slow. */
  | 'buffering'
  /** The server answers and has nothing new: the streamer's connection is away. */
  | 'reconnecting'
  /** The server does not answer. */
  | 'unreachable'
  | 'ended';

export function playbackStatus(seen: Observed, now: number): PlaybackStatus {
  const { stream } = seen;
  const moving = seen.started && now - seen.movedAt < STILL;
  if (seen.playedToTheEnd) return 'ended';
  // What is left in the buffer is shown before the end is announced.
  if (stream?.ended === true && !moving) return 'ended';
  if (seen.paused && seen.started) return 'paused';
  if (moving) return 'playing';
  if (stream !== null && !stream.isLive && !stream.ended) return seen.started ? 'reconnecting' : 'waiting';
  if (stream === null) return seen.unanswered ? 'unreachable' : 'loading';
  if (!seen.started) return now - seen.answeredAt < SILENT ? 'loading' : 'unreachable';
  if (stream.reconnecting) return 'reconnecting';
  if (now - seen.answeredAt >= SILENT) return 'unreachable';
  return now - seen.fedAt >= STARVED ? 'reconnecting' : 'buffering';
}

/** A picture that has not moved for this long stands still; shorter hitches need no words. */
const STILL = 0.4;
/** Parts come several times a second; two seconds without one are the publisher's doing, if the server answers. */
const STARVED = 2;
/** The server may hold a request for a new part for three target durations (at most 30 s, usually 6 to 12 s). */
const SILENT = 15;
