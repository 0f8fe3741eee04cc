/**
 * When a player that is paused, or stuck with plenty to play, stops loading. It goes on at now anyway, so what comes
 * meanwhile is for nobody, and would fill the memory.
 *
 * Pure: time comes in as seconds that have passed.
 */
export class Rest {
  #stillSince: number | null = null;
  #resting = false;

  get resting(): boolean {
    return this.#resting;
  }

  /** True once in a standstill: nothing more is to be loaded. */
  begins(still: boolean, now: number): boolean {
    if (!still) this.#stillSince = null;
    else this.#stillSince ??= now;
    if (this.#resting || this.#stillSince === null || now - this.#stillSince < PATIENCE) return false;
    this.#resting = true;
    return true;
  }

  /** True if something is to be loaded again. */
  ends(): boolean {
    const rested = this.#resting;
    this.#stillSince = null;
    this.#resting = false;
    return rested;
  }
}

/** Whoever is back within this goes on with what is there. */
const PATIENCE = 20;
