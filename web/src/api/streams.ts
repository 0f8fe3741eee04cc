import { ApiProblem } from './problem.ts';
import { atLeast, PAGE } from './pages.ts';
import type { Page, Session } from './session.ts';

export interface Streamer {
  id: string;
  username: string;
  displayName?: string | null;
  avatar?: string | null;
}

export interface Category {
  id: string;
  name: string;
  slug: string;
}

export interface Stream {
  id: string;
  user: Streamer;
  title: string;
  description: string | null;
  categories: Category[];
  /** BCP 47: `es`, `pt-BR`. */
  language: string | null;
  thumbnailUrl: string | null;
  /** The HLS master playlist. */
  streamUrl: string | null;
  dashUrl: string | null;
  isLive: boolean;
  viewerCount: number;
  startedAt: string | null;
  endedAt: string | null;
  createdAt: string;
  /** The lifecycle's own word, where the server tells it: `Live`, `Reconnecting`, … */
  phase?: Phase | null;
}

export type Phase = 'Pending' | 'Starting' | 'Live' | 'Reconnecting' | 'Ending' | 'Ended' | 'Failed';

/** What the ingest measures of the publisher; `null` is what it does not know (yet). */
export interface IngestHealth {
  /** Bits a second. */
  bitrate: number | null;
  fps: number | null;
  keyframeIntervalMs: number | null;
  width: number | null;
  height: number | null;
  videoCodec: string | null;
  audioCodec: string | null;
  encoder: string | null;
  bFrames: boolean | null;
  droppedFrames: number | null;
  connectedAt: string | null;
}

export interface StreamHealth {
  phase: Phase;
  ingest: IngestHealth | null;
  /** Names, the source first. */
  renditions: string[];
  reason?: string | null;
}

/** A broadcast that ended as nobody wanted. */
export interface FailedBroadcast {
  id: string;
  endedAt: string;
  /** As in `nothing_playable`; a newer server may have others. */
  reasonCode: string;
  /** In English words, without a full stop. */
  reason: string;
  /** What is known beyond the code, in English. */
  detail: string | null;
}

export interface StreamKey {
  streamKey: string;
  rtmpUrl: string;
  rotatedAt: string | null;
}

export interface StreamFields {
  title: string;
  description: string;
  categoryIds: string[];
  language: string | null;
}

const at = (id: string) => `/api/streams/${encodeURIComponent(id)}`;

const idOf = ({ id }: Stream) => id;

/** Takes the place of the picture that is made of the video. */
export const setThumbnail = (session: Session, id: string, picture: Blob): Promise<Stream> =>
  session.request(`${at(id)}/thumbnail`, { method: 'PUT', body: picture });

export const removeThumbnail = (session: Session, id: string): Promise<Stream> =>
  session.request(`${at(id)}/thumbnail`, { method: 'DELETE' });

/** At least so many of the streams that are live, if there are as many, in the api's order. */
export const liveStreams = (session: Session, count = PAGE): Promise<Page<Stream>> =>
  atLeast(session, '/api/streams', count, idOf);

/** The live streams of those whom the user follows, the most watched first. */
export const followedStreams = (session: Session, count = PAGE): Promise<Page<Stream>> =>
  atLeast(session, '/api/users/me/following/live', count, idOf);

/** Which live streams of a category, and in which order. */
export interface CategoryView {
  /** `null`: all of them. */
  language: string | null;
  sort: 'viewers' | 'recent';
}

export function categoryStreams(
  session: Session,
  slug: string,
  { language, sort }: CategoryView,
  count = PAGE,
): Promise<Page<Stream>> {
  const query = new URLSearchParams({ sort });
  if (language !== null) query.set('language', language);
  return atLeast(session, `/api/categories/${encodeURIComponent(slug)}/streams?${query}`, count, idOf);
}

/** One person's broadcasts, the newest first: what is on now, or what is over. */
export const channelStreams = (
  session: Session,
  userId: string,
  which: 'live' | 'past',
  count = PAGE,
): Promise<Page<Stream>> =>
  atLeast(
    session,
    `/api/users/${encodeURIComponent(userId)}/streams?live=${String(which === 'live')}`,
    count,
    idOf,
  );

export const stream = (session: Session, id: string): Promise<Stream> => session.request(at(id));

/** The user's open stream: live, or prepared and waiting for the publisher. 404 when there is none. */
const myStream = (session: Session): Promise<Stream> => session.request('/api/streams/mine');

/** The same without an error in the browser's console when there is none. */
export async function openStream(session: Session): Promise<Stream | null> {
  return (await session.request<Stream[]>('/api/streams/open'))[0] ?? null;
}

/** The user's last broadcast, if it failed. */
export async function failedBroadcast(session: Session): Promise<FailedBroadcast | null> {
  return (await session.request<FailedBroadcast[]>('/api/streams/failed'))[0] ?? null;
}

const createStream = (session: Session, { language, ...fields }: StreamFields): Promise<Stream> =>
  session.request('/api/streams', {
    method: 'POST',
    body: language === null ? fields : { ...fields, language },
  });

const changeStream = (session: Session, id: string, fields: StreamFields): Promise<Stream> =>
  session.request(at(id), { method: 'PATCH', body: fields });

/** Changes the open stream, or prepares the next one if there is none. */
export async function saveStream(
  session: Session,
  open: Stream | null,
  fields: StreamFields,
): Promise<Stream> {
  if (open !== null) return changeStream(session, open.id, fields);
  const asker = session.account?.id;
  try {
    return await createStream(session, fields);
  } catch (error) {
    // The encoder was faster and has opened one; but not one of somebody who has logged in since.
    const opened = error instanceof ApiProblem && error.code === 'stream_open';
    if (!opened || session.account?.id !== asker) throw error;
    return changeStream(session, (await myStream(session)).id, fields);
  }
}

export const endStream = (session: Session, id: string): Promise<void> =>
  session.request(at(id), { method: 'DELETE' });

/** Says that somebody watches who has no socket in the stream's room, and what is on their screen if it plays live. */
export async function sayWatching(session: Session, id: string, playhead: string | null): Promise<void> {
  // With a token that has ended one is somebody else to the api, and not refused.
  await session.token();
  const body = playhead === null ? {} : { body: { playhead } };
  await session.request(`${at(id)}/watching`, { method: 'POST', ...body });
}

export const streamHealth = (session: Session, id: string): Promise<StreamHealth> =>
  session.request(`${at(id)}/health`);

export const streamKey = (session: Session): Promise<StreamKey> => session.request('/api/auth/stream-key');

export const rotateStreamKey = (session: Session, password: string): Promise<StreamKey> =>
  session.request('/api/auth/stream-key/rotate', { method: 'POST', body: { password } });

/**
 * True when the server says that it cannot read the key any more, which is how a lost `CAUDAL_SECRET` shows: only a new
 * key helps.
 */
export function isKeyLost(error: unknown): boolean {
  return error instanceof ApiProblem && error.code === 'stream_key_unreadable';
}
