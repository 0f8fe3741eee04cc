/** Reads a rendition as a low-latency player does, and notes when each part could be had. */
export class Follower {
  /** `Date.now()` at which the playlist named it, by segment and part within it. */
  readonly announced = new Map<string, number>();
  /** The same by the part's file, `source/p1-2.m4s`. */
  readonly files = new Map<string, number>();
  readonly #base: string;
  readonly #rendition: string;
  readonly #stopping = new AbortController();
  readonly #run: Promise<void>;
  /** Set when the rendition was taken away. */
  gone = false;

  constructor(hls: string, stream: string, rendition: string) {
    this.#rendition = rendition;
    this.#base = `${hls}/live/${stream}/${rendition}/index.m3u8`;
    this.#run = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#run.catch(() => {});
  }

  async #follow(): Promise<void> {
    let query = '';
    while (!this.#stopping.signal.aborted) {
      const response = await fetch(this.#base + query, { signal: this.#stopping.signal });
      const text = await response.text();
      const now = Date.now();
      if (response.status === 404) {
        this.gone = true;
        return;
      }
      if (!response.ok) continue;
      const { msn, parts } = this.#note(text, query === '' ? undefined : now);
      query = `?_HLS_msn=${msn}&_HLS_part=${parts}`;
    }
  }

  #note(text: string, now: number | undefined): { msn: number; parts: number } {
    let msn = Number(/MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1]);
    let parts = 0;
    for (const line of text.split('\n')) {
      if (line.startsWith('#EXT-X-PART:')) {
        const name = `${msn}/${parts}`;
        // What was there before this reader came, came at an unknown time.
        if (!this.announced.has(name)) {
          this.announced.set(name, now ?? Number.NaN);
          this.files.set(`${this.#rendition}/${/URI="([^"]+)"/.exec(line)?.[1]}`, now ?? Number.NaN);
        }
        parts += 1;
      } else if (line !== '' && !line.startsWith('#')) {
        msn += 1;
        parts = 0;
      }
    }
    return { msn, parts };
  }
}
