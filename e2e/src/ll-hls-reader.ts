import { parse, type MediaPlaylist } from './playlist.ts';

/** What a reader has come across that no viewer should. */
export interface Trouble {
  what: string;
  at: string;
}

/**
 * A viewer without a screen: follows one rendition by blocking playlist reloads, and fetches its init and every part as
 * soon as it is announced, until it is stopped.
 */
export class LlHlsReader {
  /** Requests that failed, and parts of the timeline that were missing. */
  readonly troubles: Trouble[] = [];
  parts = 0;
  bytes = 0;
  /** The newest playlist. */
  playlist: MediaPlaylist | undefined;
  readonly #address: URL;
  readonly #stopping = new AbortController();
  readonly #run: Promise<void>;
  readonly #fetched = new Set<string>();

  constructor(master: string, rendition = 'source') {
    this.#address = new URL(`${rendition}/index.m3u8`, master);
    this.#run = this.#follow();
  }

  /** The last finished segment that is media. */
  get msn(): number {
    return this.playlist?.segments.findLast((one) => !one.gap)?.msn ?? -1;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#run;
  }

  async #follow(): Promise<void> {
    const address = new URL(this.#address);
    while (!this.#stopping.signal.aborted) {
      const text = await this.#get(address);
      if (text === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        continue;
      }
      const before = this.playlist;
      const now = parse(new TextDecoder().decode(text));
      this.playlist = now;
      if (before) this.#compare(before, now);
      // What was there before a viewer came, it does not fetch.
      const uris = now.parts.map((part) => part.uri);
      if (!before) uris.forEach((uri) => this.#fetched.add(uri));
      const inits = [...now.text.matchAll(/#EXT-X-MAP:URI="([^"]+)"/g)].map((found) => found[1] ?? '');
      for (const uri of [...inits, ...uris]) {
        if (this.#fetched.has(uri)) continue;
        this.#fetched.add(uri);
        const data = await this.#get(new URL(uri, this.#address));
        this.bytes += data?.byteLength ?? 0;
        if (uris.includes(uri)) this.parts += 1;
      }
      if (now.ended) return;
      const next = (now.segments.at(-1)?.msn ?? -1) + 1;
      address.search = `?_HLS_msn=${next}&_HLS_part=${openParts(now)}`;
    }
  }

  #compare(before: MediaPlaylist, now: MediaPlaylist): void {
    const last = before.segments.at(-1)?.msn ?? 0;
    if ((now.segments.at(-1)?.msn ?? 0) < last) this.#trouble('the playlist went back', `segment ${last}`);
    for (const segment of now.segments) {
      if (segment.msn <= last) continue;
      if (segment.gap) this.#trouble('a gap', `segment ${segment.msn}`);
      if (segment.discontinuity) this.#trouble('a discontinuity', `segment ${segment.msn}`);
    }
  }

  async #get(url: URL): Promise<ArrayBuffer | undefined> {
    try {
      const patience = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(30_000)]);
      const response = await fetch(url, { signal: patience });
      const body = await response.arrayBuffer();
      if (response.ok) return body;
      this.#trouble(String(response.status), url.href);
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#trouble(String(error), url.href);
    }
    return undefined;
  }

  #trouble(what: string, at: string): void {
    this.troubles.push({ what, at });
  }
}

/** How many parts the segment that is not finished yet has. */
function openParts(playlist: MediaPlaylist): number {
  const lines = playlist.text.split('\n');
  const finished = lines.findLastIndex((line) => line !== '' && !line.startsWith('#'));
  return lines.slice(finished + 1).filter((line) => line.startsWith('#EXT-X-PART:')).length;
}
