import { seconds } from './steady-clock.ts';

/**
 * Notices pictures that came late or not at all. Browsers say `waiting` when the sound is used up; while only pictures
 * are missing, because a decoder needs more ahead than is buffered, Chromium goes on with the sound for seconds and
 * says nothing.
 *
 * Pure: fed by `watchPictures`.
 */
export class PictureWatch {
  #last: { presented: number; count: number } | null = null;
  #usual: number | null = null;

  /**
   * A picture was shown at `presented` seconds of any steady clock, the `count`-th of all. Returns for how long there
   * was none in front of it, where that is conspicuous, else 0.
   */
  shown(presented: number, count: number): number {
    const last = this.#last;
    this.#last = { presented, count };
    // Callbacks are left out when the page is busy: then others were shown in between.
    if (last === null || count - last.count !== 1) return 0;
    const gap = presented - last.presented;
    const usual = this.#usual ?? gap;
    this.#usual = usual + (gap - usual) * LEARNING;
    return gap > Math.max(LEAST_GAP, GAP_IN_PICTURES * usual) && gap < LONGEST_GAP ? gap : 0;
  }

  /** The picture may rest now: a pause, a seek. */
  interrupted(): void {
    this.#last = null;
  }
}

/** `missed` hears for how many seconds pictures were missing. `watched` is false where it would hear of none. */
export function watchPictures(
  video: HTMLVideoElement,
  signal: AbortSignal,
  missed: (duration: number) => void,
): { readonly watched: boolean } {
  const watch = new PictureWatch();
  let seenAt = -Infinity;
  for (const event of ['pause', 'seeking', 'waiting'])
    video.addEventListener(event, () => watch.interrupted(), { signal });
  const look: VideoFrameRequestCallback = (_, { presentationTime, presentedFrames }) => {
    if (signal.aborted) return;
    seenAt = seconds();
    const missing = watch.shown(presentationTime / 1000, presentedFrames);
    if (missing > 0) missed(missing);
    video.requestVideoFrameCallback(look);
  };
  if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(look);
  return {
    get watched() {
      return seconds() - seenAt < WATCHED;
    },
  };
}

/** Without a picture for so long (a hidden page, one that has only sound) nobody knows whether any are missing. */
const WATCHED = 1;
/** Three pictures at 30 a second, and what no screen's refresh rate explains. */
const LEAST_GAP = 0.1;
const GAP_IN_PICTURES = 3;
/** Longer ones are of a page that was hidden, or have a reason that no buffer mends. */
const LONGEST_GAP = 3;
const LEARNING = 0.05;
