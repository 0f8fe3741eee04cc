import type { PlaybackStatus } from './playback-status.ts';
import type { LivePlayer } from './live-player.ts';
import type { PlayerSnapshot } from './player-snapshot.ts';

/**
 * `window.__caudal` on the watch page: what end-to-end tests and benchmarks read. Read-only; no part of the page
 * depends on it.
 */
export interface TestHook {
  /** Milliseconds between the picture's PROGRAM-DATE-TIME and now, or behind the live edge; `null` if unknown. */
  latencyMs(): number | null;
  readonly status: PlaybackStatus;
  /** Times the picture stopped for want of data, seeks left out. */
  readonly stalls: number;
  readonly rate: number;
  /** Seconds of media ahead of the picture. */
  readonly buffered: number;
  /** Seconds of buffer that the controller aims for. */
  readonly target: number;
  /** Index into `levels` of what is on the screen, -1 if unknown. */
  readonly level: number;
  readonly levels: readonly { index: number; label: string }[];
  /** The chosen quality, -1 for automatic. */
  readonly chosen: number;
  readonly following: boolean;
}

declare global {
  interface Window {
    __caudal?: TestHook;
  }
}

export function installTestHook(player: () => LivePlayer | null, status: () => PlaybackStatus): () => void {
  const read = <K extends keyof PlayerSnapshot>(name: K, otherwise: PlayerSnapshot[K]): PlayerSnapshot[K] =>
    player()?.snapshot()[name] ?? otherwise;
  const hook: TestHook = Object.freeze({
    latencyMs: () => {
      const latency = player()?.latency() ?? null;
      return latency === null ? null : latency.seconds * 1000;
    },
    get status() {
      return status();
    },
    get stalls() {
      return read('stalls', 0);
    },
    get rate() {
      return read('rate', 1);
    },
    get buffered() {
      return read('buffered', 0);
    },
    get target() {
      return read('target', 0);
    },
    get level() {
      return read('level', -1);
    },
    get levels() {
      return read('qualities', []);
    },
    get chosen() {
      return read('chosen', -1);
    },
    get following() {
      return read('following', true);
    },
  });
  Object.defineProperty(window, '__caudal', { value: hook, configurable: true, enumerable: true });
  return () => {
    if (window.__caudal === hook) delete window.__caudal;
  };
}
