/**
 * How much of the usual reserve a player may do without, because the network has been calm for a while.
 *
 * A new viewer's network is unknown, so the buffer starts with enough for most. What a calm one does not need is given
 * up slowly, and taken back at once when parts come unevenly or the picture falters. Whoever faltered because of that
 * is tried again only after a far longer time.
 *
 * Pure: time comes in as seconds that have passed.
 */
export class Reserve {
  #spared = 0;
  #calm = 0;
  /** Seconds since some of it was spared. */
  #whole = Infinity;
  #patience = PATIENCE;

  /** From 0, the whole reserve, to 1, only what must be left. */
  get spared(): number {
    return this.#spared;
  }

  /**
   * The picture moved for `elapsed` seconds; `watched` says that somebody would have noticed had it not, without which
   * nothing more is spared. `unrest` is by how many seconds parts have been late lately, beside others.
   */
  played(elapsed: number, unrest: number, watched: boolean): void {
    if (unrest > CALM) this.#takeBack();
    else if (watched) this.#calm += elapsed;
    this.#whole = this.#spared > 0 ? 0 : this.#whole + elapsed;
    if (watched && this.#calm > this.#patience) this.#spared = Math.min(1, this.#spared + elapsed / DESCENT);
  }

  /** The picture stood still, or pictures were missing, for `duration` seconds. */
  faltered(duration: number): void {
    // A longer one would have happened with the whole reserve too, so it teaches nothing about sparing it.
    if (this.#whole < REFILLED && duration < BLAMED) this.#patience = PATIENCE_ONCE_BITTEN;
    this.#takeBack();
  }

  #takeBack(): void {
    this.#spared = 0;
    this.#calm = 0;
  }
}

/** A hundred and fifty parts; most Wi-Fi has shown its scans and beacons by then. */
const PATIENCE = 30;
/** So that trying costs at most one falter in half an hour. */
const PATIENCE_ONCE_BITTEN = 1800;
/** So slow that a play rate of 1.01 keeps up. */
const DESCENT = 10;
/** Parts of a cable or of good Wi-Fi are within 40 ms of one another. */
const CALM = 0.06;
/** What comes late shows as unrest before it stalls, and to fill the buffer again takes seconds. */
const REFILLED = 5;
/** Several times the reserve that is given up. */
const BLAMED = 0.5;
