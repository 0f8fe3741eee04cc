/** What to do about a fatal error of the player. */
export type Remedy =
  /** Ask for playlists and parts again, after `delay` seconds. */
  | { do: 'resume'; delay: number }
  /** Reset the decoder and go on. */
  | { do: 'recover-media' }
  /** Start the player anew, after `delay` seconds. */
  | { do: 'restart'; delay: number };

/**
 * Chooses remedies: mild ones first, harder ones when they do not last, and never gives up. Whether the stream is
 * still worth it is for the page to know; it destroys the player when not.
 */
export class Recovery {
  #networkErrors = 0;
  #mediaErrors = 0;
  #lastMediaError = -Infinity;

  constructor(private readonly random: () => number = Math.random) {}

  networkError(): Remedy {
    this.#networkErrors += 1;
    const delay = this.#delay(this.#networkErrors);
    // The first ones may be a hiccup; later the session behind the playlists may be another one.
    return this.#networkErrors <= RESUMES ? { do: 'resume', delay } : { do: 'restart', delay };
  }

  mediaError(now: number): Remedy {
    if (now - this.#lastMediaError > MEDIA_MEMORY) this.#mediaErrors = 0;
    this.#lastMediaError = now;
    this.#mediaErrors += 1;
    if (this.#mediaErrors <= MEDIA_RECOVERIES) return { do: 'recover-media' };
    return { do: 'restart', delay: this.#delay(this.#mediaErrors - MEDIA_RECOVERIES) };
  }

  /** The picture moves again. */
  playing(): void {
    this.#networkErrors = 0;
  }

  /** Spread out, so that the viewers of a server that comes back do not all arrive at once. */
  #delay(attempt: number): number {
    const full = Math.min(FIRST_DELAY * 2 ** (attempt - 1), LONGEST_DELAY);
    return full * (0.5 + this.random() / 2);
  }
}

const RESUMES = 3;
const FIRST_DELAY = 0.5;
const LONGEST_DELAY = 8;
const MEDIA_RECOVERIES = 2;
/** Seconds after which a media error counts as a new story. */
const MEDIA_MEMORY = 30;
