import type { LatencyEstimate } from './latency-estimate.ts';
import type { Quality } from './quality-choice.ts';

/** What the page shows and tests read; a copy, taken a few times a second. */
export interface PlayerSnapshot {
  started: boolean;
  /** There is no picture in it. */
  soundOnly: boolean;
  paused: boolean;
  movedAt: number;
  answeredAt: number;
  fedAt: number;
  playedToTheEnd: boolean;
  latency: LatencyEstimate | null;
  /** Seconds of media ahead of the picture. */
  buffered: number;
  /** Seconds of buffer that the latency controller aims for. */
  target: number;
  rate: number;
  stalls: number;
  /** False after the viewer went back in time. */
  following: boolean;
  qualities: Quality[];
  /** The chosen quality, -1 for automatic. */
  chosen: number;
  /** The quality on the screen, -1 if unknown. */
  level: number;
}

/** Where in the stream somebody is. */
export interface Place {
  paused: boolean;
  /** Seconds of the element's timeline. */
  position: number;
  following: boolean;
}
