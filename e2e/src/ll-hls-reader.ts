import { span, timescale } from './fragments.ts';
import { FIRST_MSN, parse, type MediaPlaylist } from './playlist.ts';

/** The trouble that a publisher causes that begins anew. */
export const DISCONTINUITY = 'a discontinuity';

/** What a reader has come across that no viewer should. */
export interface Trouble {
  what: string;
  at: string;
  /** The segment that it is in. */
  msn?: number;
}

/**
 * A viewer without a screen: follows one rendition by blocking playlist reloads, and fetches its init and every part as
 * soon as it is announced, until it is stopped. What it hears of too late to get it in parts, it fetches whole.
 */
export class LlHlsReader {
  /** Requests that failed, and parts of the timeline that were missing. */
  readonly troubles: Trouble[] = [];
  /** Where what it fetched does not begin when the piece before it ends, by the media's own clock. */
  readonly seams: Trouble[] = [];
  /** Connections that it lost, or that were refused, while it had another server to ask. */
  readonly lost: Trouble[] = [];
  parts = 0;
  bytes = 0;
  /** Seconds that the longest frame lasts. */
  longestFrame = 0;
  /** When (`Date.now()`) it had each part, and the seconds of media that it had by then. */
  readonly arrivals: { at: number; media: number }[] = [];
  /** The newest playlist. */
  playlist: MediaPlaylist | undefined;
  #address: URL;
  readonly #other: URL | undefined;
  readonly #stopping = new AbortController();
  readonly #run: Promise<void>;
  readonly #fetched = new Set<string>();
  #ticks = 1;
  /** When what it has ends, by the media's clock. */
  #end: number | undefined;

  /** Goes over to `other`, another server's master playlist, when a connection is lost. */
  constructor(master: string, rendition = 'source', other?: string) {
    this.#address = new URL(`${rendition}/index.m3u8`, master);
    this.#other = other === undefined ? undefined : new URL(`${rendition}/index.m3u8`, other);
    this.#run = this.#follow().catch((error: unknown) => this.#trouble('the reader failed', String(error)));
  }

  /** The last finished segment that is media. */
  get msn(): number {
    return this.playlist?.segments.findLast((one) => !one.gap)?.msn ?? -1;
  }

  /** By how many milliseconds the latest part that came from `from` to `to` (`Date.now()`) was later than the promptest of all. */
  lateness(from: number, to: number): number {
    return Math.max(0, ...this.delays(from, to));
  }

  /** By how many milliseconds each part that came from `from` to `to` was later than the promptest of all. */
  delays(from: number, to: number): number[] {
    const delays = this.arrivals.map(({ at, media }) => ({ at, delay: at - media * 1000 }));
    const least = Math.min(...delays.map((one) => one.delay));
    return delays.filter((one) => one.at >= from && one.at <= to).map((one) => one.delay - least);
  }

  /** The longest time without a part from `from` to `to`, in milliseconds. */
  silence(from: number, to: number): number {
    const times = [from, ...this.arrivals.map(({ at }) => at).filter((at) => at > from && at < to), to];
    return Math.max(...times.slice(1).map((at, before) => at - (times[before] ?? at)));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#run;
  }

  async #follow(): Promise<void> {
    let query = '';
    while (!this.#stopping.signal.aborted) {
      const text = await this.#get(query);
      if (text === undefined) {
        await pause(200);
        continue;
      }
      const before = this.playlist;
      const now = parse(text.toString());
      this.playlist = now;
      if (before) this.#compare(before, now);
      // What was there before a viewer came, it does not fetch.
      const there = pieces(now);
      if (!before) there.forEach(({ place }) => this.#fetched.add(place));
      for (const [, uri] of now.text.matchAll(/#EXT-X-MAP:URI="([^"]+)"/g)) {
        if (!uri || this.#fetched.has(uri)) continue;
        this.#fetched.add(uri);
        const init = await this.#get(uri);
        if (init) this.#ticks = timescale(init);
        this.bytes += init?.byteLength ?? 0;
      }
      for (const piece of there) {
        if (this.#fetched.has(piece.place) || (piece.whole && this.#fetched.has(`${piece.msn}`))) continue;
        this.#fetched.add(piece.place);
        await this.#have(piece);
      }
      // A finished one is not looked for again when its parts are not listed any more.
      for (const { msn } of now.segments) this.#fetched.add(`${msn}`);
      if (now.ended) return;
      const next = (now.segments.at(-1)?.msn ?? -1) + 1;
      query = `?_HLS_msn=${next}&_HLS_part=${there.filter(({ msn }) => msn === next).length}`;
    }
  }

  async #have(piece: Piece): Promise<void> {
    const data = await this.#get(piece.uri);
    this.bytes += data?.byteLength ?? 0;
    this.parts += 1;
    let duration = piece.duration;
    if (data) {
      const { from, to, longest } = span(data, this.#ticks);
      const before = this.#end ?? from;
      const missing = from - before;
      // Of one that it has some parts of, it gets these again.
      if (missing > SAME || (missing < -SAME && !piece.whole)) {
        this.seams.push({ what: missing > 0 ? `${missing.toFixed(3)} s missing` : `${(-missing).toFixed(3)} s again`, at: piece.uri, msn: piece.msn });
      } else {
        duration = to - before;
      }
      this.#end = to;
      this.longestFrame = Math.max(this.longestFrame, longest);
    }
    this.arrivals.push({ at: Date.now(), media: (this.arrivals.at(-1)?.media ?? 0) + duration });
  }

  #compare(before: MediaPlaylist, now: MediaPlaylist): void {
    const last = before.segments.at(-1)?.msn ?? 0;
    if ((now.segments.at(-1)?.msn ?? 0) < last) this.#trouble('the playlist went back', `segment ${last}`);
    if (now.mediaSequence > last + 1) this.#trouble('segments were gone before they were seen', `segment ${last + 1}`);
    for (const segment of now.segments) {
      if (segment.msn <= last) continue;
      if (segment.gap) this.#trouble('a gap', `segment ${segment.msn}`);
      if (segment.discontinuity) this.#trouble(DISCONTINUITY, `segment ${segment.msn}`, segment.msn);
    }
  }

  /** The answer to a request; a lost connection is another server's turn, where there is one. */
  async #get(relative: string): Promise<Buffer | undefined> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!this.#stopping.signal.aborted) {
      const url = new URL(relative, this.#address);
      try {
        const patience = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(PATIENCE_MS)]);
        const response = await fetch(url, { signal: patience });
        const body = await response.arrayBuffer();
        if (response.ok) return Buffer.from(body);
        this.#trouble(String(response.status), url.href);
        return undefined;
      } catch (error) {
        if (this.#stopping.signal.aborted) return undefined;
        if (!this.#other || Date.now() > deadline) {
          this.#trouble(String(error instanceof Error ? (error.cause ?? error) : error), url.href);
          return undefined;
        }
        this.lost.push({ what: String(error instanceof Error ? (error.cause ?? error) : error), at: url.href });
        this.#address = this.#other;
        await pause(50);
      }
    }
    return undefined;
  }

  #trouble(what: string, at: string, msn?: number): void {
    this.troubles.push({ what, at, ...(msn !== undefined && { msn }) });
  }
}

/** Something to fetch: a part, or a segment whose parts are not listed. */
interface Piece {
  msn: number;
  /** Which one it is, for a player: a worker that takes over gives the parts of an unfinished segment names of its own. */
  place: string;
  uri: string;
  duration: number;
  whole: boolean;
}

/** What a playlist lists of the broadcast's media, in its order. */
function pieces(playlist: MediaPlaylist): Piece[] {
  const found: Piece[] = [];
  let parts: Piece[] = [];
  let index = 0;
  for (const line of playlist.text.split('\n')) {
    const msn = playlist.mediaSequence + index;
    if (line.startsWith('#EXT-X-PART:')) {
      const uri = /URI="([^"]+)"/.exec(line)?.[1] ?? '';
      parts.push({ msn, place: `${msn}.${parts.length}`, uri, duration: Number(/[:,]DURATION=([\d.]+)/.exec(line)?.[1]), whole: false });
    } else if (line !== '' && !line.startsWith('#')) {
      const segment = playlist.segments[index];
      if (segment && !segment.gap) {
        found.push(...(parts.length ? parts : [{ msn, place: `${msn}.whole`, uri: line, duration: segment.duration, whole: true }]));
      }
      parts = [];
      index += 1;
    }
  }
  if (playlist.mediaSequence + index >= FIRST_MSN) found.push(...parts);
  return found;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Seconds by which two pieces may differ that follow each other: less than any frame. */
const SAME = 0.002;
const PATIENCE_MS = 30_000;
