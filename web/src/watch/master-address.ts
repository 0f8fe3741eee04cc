/**
 * Where the player asks for its master playlist. Below `/v/present/` the edge counts nobody: the api does, because the
 * viewer is there (a socket in the room, or a beacon). A proxy that was set up for `/live/` alone does not forward that
 * address, so until a playlist has come, each failure changes to the plain address and back.
 */
export class MasterAddress {
  #current: string;
  #other: string;

  constructor(plain: URL) {
    const counted = new URL(plain);
    counted.pathname = counted.pathname.replace(/\/live\/[^/]+\/[^/]+$/, (path) => `/v/present${path}`);
    this.#current = counted.href;
    this.#other = plain.href;
  }

  get current(): string {
    return this.#current;
  }

  /** A playlist has come. Its address after redirects, if known, is kept for when the player starts again. */
  loaded(url = this.#current): void {
    this.#current = this.#other = url;
  }

  failed(): void {
    [this.#current, this.#other] = [this.#other, this.#current];
  }
}
