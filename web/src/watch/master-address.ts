/**
 * Where the player asks for its master playlist. With `?viewer=new` the edge sends the player on to an address of its
 * own (`/v/{ticket}/live/…`), by which the player is counted as one viewer. A proxy that was set up for `/live/` alone
 * does not forward that address, so until a playlist has come, each failure changes to the plain address and back.
 */
export class MasterAddress {
  #current: string;
  #other: string;

  constructor(plain: URL) {
    const own = new URL(plain);
    own.searchParams.set('viewer', 'new');
    this.#current = own.href;
    this.#other = plain.href;
  }

  get current(): string {
    return this.#current;
  }

  /** A playlist has come. Its address after redirects, if known, is kept: a restarted player is the same viewer. */
  loaded(url = this.#current): void {
    this.#current = this.#other = url;
  }

  failed(): void {
    [this.#current, this.#other] = [this.#other, this.#current];
  }
}
