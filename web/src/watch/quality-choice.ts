import { ErrorDetails, ErrorTypes, PlaylistLevelType } from 'hls.js';
import type { ErrorData, Level } from 'hls.js';
import { fixedNumber } from '../language/format.ts';

export interface Quality {
  index: number;
  label: string;
}

/** Best first. Two levels of one height are told apart by their bitrate. */
export function qualities(levels: readonly Level[]): Quality[] {
  const label = (level: Level) => {
    if (level.height === 0) return level.name ?? `${Math.round(level.bitrate / 1000)} kb/s`;
    return `${Math.min(level.height, level.width || level.height)}p${level.frameRate > 32 ? Math.round(level.frameRate) : ''}`;
  };
  return levels
    .map((level, index) => {
      const same = levels.filter((other) => label(other) === label(level)).length > 1;
      return {
        index,
        label: same ? `${label(level)} · ${fixedNumber(level.bitrate / 1e6, 1)} Mb/s` : label(level),
        bitrate: level.bitrate,
      };
    })
    .sort((one, other) => other.bitrate - one.bitrate)
    .map(({ index, label: text }) => ({ index, label: text }));
}

/**
 * The rendition that the viewer chose, by its name: hls.js counts levels anew with each master playlist, and a player
 * that starts anew knows of no choice. It is kept through every hiccup, and dropped when the rendition itself is no good.
 */
export class QualityChoice {
  #name: string | null = null;
  /** Since media of it last arrived. */
  #failures = 0;
  #failingSince = 0;

  /** `undefined` leaves the choice to the player. */
  choose(level: Named | undefined): void {
    this.#name = level === undefined ? null : nameOf(level);
    this.#failures = 0;
  }

  /** Where `levels` has the chosen rendition; -1, which hls.js takes for automatic, without a choice or where it is missing. */
  indexIn(levels: readonly Named[]): number {
    return levels.findIndex((level) => nameOf(level) === this.#name);
  }

  /** Media of `level` is in the buffer. */
  buffered(level: Named | undefined): void {
    if (this.#isChosen(level)) this.#failures = 0;
  }

  /** Something is wrong with `level`, at `now` in seconds of any steady clock. True when that was the choice, and it is dropped now. */
  failed(level: Named | undefined, fault: Fault, now: number): boolean {
    if (!this.#isChosen(level)) return false;
    if (this.#failures === 0) this.#failingSince = now;
    this.#failures += 1;
    const hopeless = this.#failures >= MOST_FAILURES && now - this.#failingSince >= PATIENCE;
    if (fault === 'broken' && !hopeless) return false;
    this.choose(undefined);
    return true;
  }

  #isChosen(level: Named | undefined): boolean {
    return this.#name !== null && level !== undefined && nameOf(level) === this.#name;
  }
}

/** `gone`: the server no longer makes this rendition. `broken`: it could not be loaded or played. */
export type Fault = 'gone' | 'broken';

/** Which level an error is about, and what is wrong with that level; `null` where the error says nothing about a level. */
export function faultOf(error: Failed): { level: number; fault: Fault } | null {
  const level = levelOf(error);
  if (level === undefined) return null;
  const status = error.response?.code ?? 0;
  if (error.details === ErrorDetails.LEVEL_LOAD_ERROR && (status === 404 || status === 410))
    return { level, fault: 'gone' };
  // Without an answer it is the network; and where the streamer's frames are missing, they are missing in every rendition.
  const unanswered = error.type === ErrorTypes.NETWORK_ERROR && status === 0;
  if (unanswered || error.details === ErrorDetails.FRAG_GAP) return null;
  // Anything milder hls.js is about to try again.
  const givenUp = error.errorAction?.action === SEND_TO_PENALTY_BOX;
  return givenUp ? { level, fault: 'broken' } : null;
}

function levelOf({ frag, context, level }: Failed): number | undefined {
  if (frag) return frag.type === PlaylistLevelType.MAIN ? frag.level : undefined;
  return typeof context?.level === 'number' ? context.level : level;
}

/** A rendition is named by its folder: `…/720p/index.m3u8`. */
function nameOf({ uri }: Named): string {
  return (
    uri
      .replace(/[?#].*$/, '')
      .split('/')
      .slice(-2)[0] ?? ''
  );
}

type Named = Pick<Level, 'uri'>;

/** What counts of an hls.js error. */
export type Failed = Pick<ErrorData, 'type' | 'details' | 'level'> & {
  response?: { code?: number } | undefined;
  frag?: { type: string; level: number } | undefined;
  context?: { level?: number | null } | undefined;
  errorAction?: { action: number } | undefined;
};

/**
 * So often in a row, and for so many seconds, without media of it in between: then a picture in another quality is better
 * than none. The count alone would be reached within half a second of parts that are refused.
 */
const MOST_FAILURES = 3;
const PATIENCE = 3;
/** `NetworkErrorAction.SendAlternateToPenaltyBox`, which hls.js declares in a way that cannot be imported. */
const SEND_TO_PENALTY_BOX = 2;
