import type Hls from 'hls.js';
import { BufferController, Events, PlaylistLevelType, type FragmentTracker } from 'hls.js';

/**
 * hls.js's own buffer controller, which also makes its fragment tracker forget what the browser has dropped.
 *
 * In low-latency play hls.js 1.7.4 never does: `FragmentTracker.detectEvictedFragments` passes over everything older than
 * the part that was just appended, and walks through all of it for each part. After an hour that is 3,600 fragments and
 * 18 ms for 2 s of media, after a day 2 s: a screen on a wall stops. The tracker has no other way out than through the
 * constructor of the buffer controller, which hls.js lets its users replace.
 */
export class PruningBufferController extends BufferController {
  constructor(hls: Hls, tracker: FragmentTracker) {
    super(hls, tracker);
    hls.on(Events.FRAG_CHANGED, () => {
      if (hls.media !== null) prune(tracker, hls.media);
    });
  }
}

/** What counts of a media element. */
interface Player {
  readonly currentTime: number;
  readonly buffered: Pick<TimeRanges, 'length' | 'start'>;
}

/**
 * Forgets the fragments that lie wholly before the buffer. Neither the segment that is being appended is among them, even
 * where the buffer begins in its middle, nor gaps ahead of the picture, which hls.js must not try to load again.
 */
export function prune(tracker: Pick<FragmentTracker, 'removeFragmentsInRange'>, player: Player): void {
  if (player.buffered.length === 0) return;
  const end = Math.min(player.buffered.start(0), player.currentTime) - LONGEST_FRAGMENT;
  for (const type of [PlaylistLevelType.MAIN, PlaylistLevelType.AUDIO])
    tracker.removeFragmentsInRange(-Infinity, end, type);
}

/** Seconds; what the tracker is asked to remove is everything that begins before a time, wherever it ends. */
const LONGEST_FRAGMENT = 60;
