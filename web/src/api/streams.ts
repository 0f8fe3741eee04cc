import type { Page, Session } from './session.ts';

export interface Streamer {
  id: string;
  username: string;
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

export interface StreamKey {
  streamKey: string;
  rtmpUrl: string;
  rotatedAt: string | null;
}

export interface StreamFields {
  title: string;
  description: string;
}

const at = (id: string) => `/api/streams/${encodeURIComponent(id)}`;

export const liveStreams = (session: Session): Promise<Page<Stream>> => session.page('/api/streams');

export const moreStreams = (session: Session, next: string): Promise<Page<Stream>> => session.page(next);

export const stream = (session: Session, id: string): Promise<Stream> => session.request(at(id));

/** The user's open stream: live, or prepared and waiting for the publisher. 404 when there is none. */
export const myStream = (session: Session): Promise<Stream> => session.request('/api/streams/mine');

export const createStream = (session: Session, fields: StreamFields): Promise<Stream> =>
  session.request('/api/streams', { method: 'POST', body: fields });

export const changeStream = (session: Session, id: string, fields: StreamFields): Promise<Stream> =>
  session.request(at(id), { method: 'PATCH', body: fields });

export const endStream = (session: Session, id: string): Promise<void> =>
  session.request(at(id), { method: 'DELETE' });

export const streamHealth = (session: Session, id: string): Promise<StreamHealth> =>
  session.request(`${at(id)}/health`);

export const streamKey = (session: Session): Promise<StreamKey> => session.request('/api/auth/stream-key');

export const rotateStreamKey = (session: Session, password: string): Promise<StreamKey> =>
  session.request('/api/auth/stream-key/rotate', { method: 'POST', body: { password } });
