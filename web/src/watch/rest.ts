/**
 * When a player that is paused stops loading. It goes on at now anyway, so what comes during a long pause is for nobody,
 * and would fill the memory.
 *
 * Pure: time comes in as seconds that have passed.
 */
export class Rest {
  #pausedSince: number | null = null;
  #resting = false;

  get resting(): boolean {
    return this.#resting;
  }

  /** True once in a pause: nothing more is to be loaded. */
  begins(paused: boolean, now: number): boolean {
    if (!paused) this.#pausedSince = null;
    else this.#pausedSince ??= now;
    if (this.#resting || this.#pausedSince === null || now - this.#pausedSince < PATIENCE) return false;
    this.#resting = true;
    return true;
  }

  /** True if something is to be loaded again. */
  ends(): boolean {
    const rested = this.#resting;
    this.#pausedSince = null;
    this.#resting = false;
    return rested;
  }
}

/** Whoever is back within this goes on with what is there. */
const PATIENCE = 20;
