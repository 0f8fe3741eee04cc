import { Reserve } from './reserve.ts';

/**
 * Decides how fast a live picture plays so that it stays as close to now as the network allows.
 *
 * It steers by the seconds that are buffered ahead of the picture, the only thing that says how late the next part
 * may be. hls.js steers by distance from the live edge instead and never below one second of buffer, so with small
 * parts it cannot go below about 1.06 s of latency.
 *
 * The buffer is a saw: it grows by a part at a time and drains in between. Its average is what gets steered; how
 * far it has fallen below that average lately (`dip`) is what the network needs, and sets the target. To this comes a
 * reserve against what it has not shown yet, which shrinks while nothing falters.
 *
 * Pure: time comes in as `now`, in seconds, from any steady clock.
 */
export class LatencyController {
  #part: number;
  #penalty = 0;
  #stall: { since: number; average: number | null } | null = null;
  #lastStall = -Infinity;
  #raise: number;
  #dip = 0;
  /** What `#dip` was when the buffer was last above its average: without what emptied it since. */
  #dipBefore = 0;
  #average: number | null = null;
  #steering = false;
  #rate = 1;
  readonly #reserve = new Reserve();
  #last: { now: number; buffered: number } | null = null;
  /** `null` once the viewer is where they should be. */
  #join: Join | null = joining(0);

  /** `part` is the longest part that the stream announces (PART-TARGET), in seconds. */
  constructor(part: number) {
    this.#part = clamp(part, SHORTEST_PART, LONGEST_PART);
    this.#raise = this.#firstRaise();
  }

  /** The seconds of buffer it aims for. */
  get target(): number {
    const { spared } = this.#reserve;
    const between = (whole: number, least: number) => whole + (least - whole) * spared;
    const safety = between(SAFETY, LEAST_SAFETY);
    const ahead = between(PARTS_AHEAD, LEAST_PARTS_AHEAD) * this.#part;
    const needed = Math.max(ahead, LEAST_AHEAD, this.#dip + safety);
    return Math.min(needed + this.#penalty, MOST_AHEAD);
  }

  /** The buffer without its saw teeth; `null` until something has played. */
  get average(): number | null {
    return this.#average;
  }

  /** The stream announced longer or shorter parts than before. */
  setPart(part: number): void {
    this.#part = clamp(part, SHORTEST_PART, LONGEST_PART);
  }

  /**
   * Called while the picture moves, several times a part. `watched` says that `faltered` would have been called had
   * pictures been missing.
   */
  playing(now: number, buffered: number, watched = false): Steering {
    if (this.#stall !== null) {
      const stall = this.#stall;
      this.#stall = null;
      this.#resumed(now, stall);
    }
    const elapsed = this.#last === null ? 0 : Math.max(0, now - this.#last.now);
    this.#last = { now, buffered };
    // After a sleep (a hidden tab, a suspended machine) the old average describes nothing.
    if (this.#average === null || elapsed > STALE_AFTER) this.#average = buffered;
    else this.#average += (buffered - this.#average) * (1 - Math.exp(-elapsed / SMOOTHING));

    const seekBy = this.#joinSeek(now, buffered);
    if (seekBy > 0) {
      this.#average = Math.max(0, buffered - seekBy);
      this.#steering = false;
      return { rate: this.#setRate(1), seekBy };
    }
    if (!this.#arriving()) {
      this.#learn(elapsed, buffered);
      if (elapsed <= STALE_AFTER) this.#reserve.played(elapsed, this.#unrest(), watched);
    }
    return { rate: this.#steer(), seekBy: 0 };
  }

  /** The picture stopped because nothing was left to play; the next `playing` ends the stall. */
  stalled(now: number): void {
    this.#stall ??= { since: now, average: this.#average };
    this.#pause();
  }

  /** Pictures were missing for `duration` seconds although the stream went on. */
  faltered(duration: number): void {
    this.#reserve.faltered(duration);
  }

  /**
   * Start over at the live edge: after a long interruption, a hole in the stream, a pause, or because the viewer asked.
   * What was learned about the network is kept, and a stall that ends this way teaches nothing: waiting would not have
   * ended it, so no buffer would have covered it.
   */
  rejoin(): void {
    this.#stall = null;
    this.#join = joining(0);
    this.#pause();
  }

  /** Learns from a stall by how long it was. */
  #resumed(now: number, stall: { since: number; average: number | null }): void {
    const duration = now - stall.since;
    this.#reserve.faltered(duration);
    if (duration > CATCH_UP_BY_SEEK) this.rejoin();
    // An interruption of seconds is no property of the network: no sane target would have covered it.
    if (duration > INTERRUPTION) {
      this.#dip = this.#dipBefore;
      return;
    }
    // No more than twice what was missing, however many stalls there were before.
    const most = Math.min(Math.max(2 * duration, this.#firstRaise()), MOST_RAISE);
    this.#raise =
      stall.since - this.#lastStall < RELAPSE ? Math.min(this.#raise * 2, most) : this.#firstRaise();
    this.#penalty = Math.min(this.#penalty + this.#raise, MOST_AHEAD);
    this.#lastStall = now;
    // The whole average was not enough, so the dip was at least that deep.
    if (stall.average !== null) this.#dip = Math.max(this.#dip, Math.min(stall.average, MOST_DIP));
  }

  #pause(): void {
    this.#average = null;
    this.#last = null;
    this.#steering = false;
    this.#rate = 1;
  }

  #firstRaise(): number {
    return Math.max(LEAST_RAISE, this.#part / 4);
  }

  /**
   * After joining the buffer fills to the live edge, always to more than is needed, because players start well
   * behind it. Once it has stopped growing, one seek inside what is already buffered does what minutes of faster
   * playing would.
   */
  #joinSeek(now: number, buffered: number): number {
    const join = this.#join;
    if (join === null) return 0;
    join.since ??= now;
    join.peak = Math.max(join.peak, buffered);
    join.trough = Math.min(join.trough, buffered);
    if (now - join.since < Math.max(JOIN_WINDOW, 3 * this.#part)) return 0;
    const settled = join.previousPeak > 0 && join.peak <= join.previousPeak + this.#part / 2;
    if (!settled) {
      this.#join = { ...joining(join.seeks), since: now, previousPeak: join.peak };
      return 0;
    }
    // `buffered` is somewhere on a tooth; what counts is how low the teeth go, above all where parts come in pairs.
    const excess = Math.min(join.trough + this.#part / 2 - this.target, buffered - this.#part / 2);
    if (excess <= (join.seeks === 0 ? SEEK_WORTH : SEEK_AGAIN)) {
      this.#join = null;
      return 0;
    }
    this.#join = join.seeks + 1 < MOST_SEEKS ? joining(join.seeks + 1) : null;
    return excess;
  }

  /** Before the first seek the buffer says nothing about the network yet. */
  #arriving(): boolean {
    return this.#join !== null && this.#join.seeks === 0;
  }

  #learn(elapsed: number, buffered: number): void {
    const dip = Math.max(0, (this.#average ?? buffered) - buffered);
    this.#dip = Math.min(Math.max(dip, this.#dip - DIP_FORGETTING * elapsed), MOST_DIP);
    if (dip === 0) this.#dipBefore = this.#dip;
    this.#penalty = Math.max(0, this.#penalty - PENALTY_FORGETTING * elapsed);
  }

  /** The teeth alone are half a part deep; the rest is the network's. */
  #unrest(): number {
    return Math.max(0, this.#dip - this.#part / 2);
  }

  #steer(): number {
    if (this.#arriving()) return this.#setRate(1);
    const error = (this.#average ?? this.target) - this.target;
    const size = Math.abs(error);
    // Two thresholds, so that it rests at exactly 1 for long stretches instead of trembling around it. What a calm
    // network has shown to be superfluous is not left lying between them.
    const far = error > 0 ? FAR + (FAR_WHEN_CALM - FAR) * this.#reserve.spared : FAR;
    this.#steering = size > (this.#steering ? NEAR : far);
    if (!this.#steering) return this.#setRate(1);
    const gentle = clamp(error * GAIN, -GENTLE, GENTLE);
    if (size <= URGENT) return this.#setRate(1 + gentle);
    const urgent = (size - URGENT) * URGENT_GAIN * Math.sign(error);
    return this.#setRate(clamp(1 + gentle + urgent, SLOWEST, FASTEST));
  }

  /** In steps, because every change makes the browser set its audio stretcher up anew. */
  #setRate(rate: number): number {
    this.#rate = Math.round(rate / RATE_STEP) * RATE_STEP;
    return this.#rate;
  }
}

export interface Steering {
  rate: number;
  /** Seconds to jump ahead, inside what is buffered; 0 nearly always. */
  seekBy: number;
}

/** One window of waiting for the buffer to stop growing. */
interface Join {
  seeks: number;
  since: number | null;
  peak: number;
  trough: number;
  previousPeak: number;
}

const joining = (seeks: number): Join => ({ seeks, since: null, peak: 0, trough: Infinity, previousPeak: 0 });

const clamp = (value: number, least: number, most: number) => Math.min(Math.max(value, least), most);

/** Parts between which the stream may choose; anything else in a playlist is a mistake. */
const SHORTEST_PART = 0.05;
const LONGEST_PART = 2;
/**
 * The average buffer in parts, at first. With 0.2 s parts 0.3 s played ten minutes without a stall, 0.25 s stuttered at the
 * start; with 0.134 s parts 0.25 s was enough (measured, Chromium 156; docs/performance.md).
 */
const PARTS_AHEAD = 1.5;
/** After a while in which nothing faltered. */
const LEAST_PARTS_AHEAD = 1.1;
/** Chromium's decoder holds back for a few frames: below this it stops although something is buffered. */
const LEAST_AHEAD = 0.2;
/** What one dip may add to the target. */
const MOST_DIP = 1;
/** A longer stall leaves so much to catch up that it takes a seek. */
const CATCH_UP_BY_SEEK = 1;
const INTERRUPTION = 3;
/** What must be left in the buffer at its lowest, at first and after a while in which nothing faltered. */
const SAFETY = 0.18;
const LEAST_SAFETY = 0.12;
/** Beyond this a viewer is better served by plain buffering than by more delay. */
const MOST_AHEAD = 6;
/** The first stall raises the target by this or a quarter of a part; one that follows within RELAPSE by twice as much. */
const LEAST_RAISE = 0.05;
const MOST_RAISE = 1;
const RELAPSE = 20;
/** Seconds of target given up per second: a stall's 50 ms take 25 s, a dip of 0.3 s some minutes. */
const PENALTY_FORGETTING = 0.002;
const DIP_FORGETTING = 0.002;
/** Time constant of the average: some teeth long, so that parts do not show in it. */
const SMOOTHING = 1;
const STALE_AFTER = 2;
/** Distance from the target at which steering begins and ends. */
const FAR = 0.07;
const FAR_WHEN_CALM = 0.035;
const NEAR = 0.02;
/** Up to GENTLE (3 %) nobody hears or sees the rate; reached at 0.12 s from the target. */
const GAIN = 0.25;
const GENTLE = 0.03;
/** Only this far off target is faster or slower than that. */
const URGENT = 0.5;
const URGENT_GAIN = 0.1;
const SLOWEST = 0.92;
const FASTEST = 1.15;
const RATE_STEP = 0.01;
/** While joining, the buffer has to stop growing for one such window. */
const JOIN_WINDOW = 0.4;
/** A smaller jump is seen without being worth it. */
const SEEK_WORTH = 0.15;
/** After a long interruption the buffer may rest while it fills: then one seek is not enough. */
const SEEK_AGAIN = 0.5;
const MOST_SEEKS = 3;
