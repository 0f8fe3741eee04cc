import { FIRST_MSN, parse, type MediaPlaylist } from './playlist.ts';

/**
 * Reads one rendition's media playlist several times a second for as long as a story lasts, and holds every promise
 * that RFC 8216bis and ARCHITECTURE §5 make about two versions of one playlist.
 */
export class PlaylistRecord {
  /** Promises that were broken, in words. */
  readonly broken: string[] = [];
  /** What the server answered instead of a playlist. */
  readonly unanswered: string[] = [];
  /** The newest version. */
  last: MediaPlaylist | undefined;
  reads = 0;
  readonly #url: string;
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>;
  readonly #gaps = new Set<number>();
  readonly #uris = new Map<number, string>();

  constructor(url: string) {
    this.#url = url;
    this.#reading = this.#read();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  /** Discontinuities from the stream's first segment to its last. */
  get discontinuities(): number {
    const seen = this.last?.segments.filter((one) => one.discontinuity).length ?? 0;
    return (this.last?.discontinuitySequence ?? 0) + seen;
  }

  /** Segments without pictures that it has ever announced, those before the first picture left out. */
  get gaps(): number {
    return this.#gaps.size;
  }

  get lastMsn(): number {
    return this.last?.segments.at(-1)?.msn ?? -1;
  }

  async #read(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const response = await fetch(this.#url, { signal });
        const text = await response.text();
        if (response.ok) this.#compare(parse(text));
        else this.unanswered.push(String(response.status));
      } catch (error) {
        if (!signal.aborted) this.unanswered.push(String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  #compare(now: MediaPlaylist): void {
    const was = this.last;
    this.last = now;
    this.reads += 1;
    for (const { msn, uri, gap } of now.segments) {
      if (gap && msn >= FIRST_MSN) this.#gaps.add(msn);
      const name = gap ? 'a gap' : uri;
      const known = this.#uris.get(msn);
      this.#uris.set(msn, name);
      if (known !== undefined && known !== name) this.broken.push(`segment ${msn} was ${known}, is ${name}`);
    }
    if (!was) return;
    const promise = (what: string, kept: boolean, from: unknown, to: unknown) => {
      if (!kept) this.broken.push(`${what}: ${String(from)}, then ${String(to)}`);
    };
    const end = (playlist: MediaPlaylist) => playlist.mediaSequence + playlist.segments.length;
    const breaks = (playlist: MediaPlaylist) =>
      playlist.discontinuitySequence + playlist.segments.filter((one) => one.discontinuity).length;
    promise('media sequence', now.mediaSequence >= was.mediaSequence, was.mediaSequence, now.mediaSequence);
    promise('next segment', end(now) >= end(was), end(was), end(now));
    promise('no segment left out', now.mediaSequence <= end(was), end(was), now.mediaSequence);
    promise('discontinuities', breaks(now) >= breaks(was), breaks(was), breaks(now));
    promise('TARGETDURATION', now.targetDuration === was.targetDuration, was.targetDuration, now.targetDuration);
    promise('PART-TARGET', now.partTarget === was.partTarget, was.partTarget, now.partTarget);
    promise('SERVER-CONTROL', now.serverControl === was.serverControl, was.serverControl, now.serverControl);
    promise('an end is an end', now.ended || !was.ended, 'ended', 'open');
    for (const segment of now.segments) {
      promise(`duration of ${segment.msn}`, Math.round(segment.duration) <= now.targetDuration, now.targetDuration, segment.duration);
    }
    for (const part of now.parts) {
      promise(`duration of ${part.uri}`, part.duration <= (now.partTarget ?? 0) + 1e-6, now.partTarget, part.duration);
    }
  }
}

/** Often enough to see each part. */
const PAUSE_MS = 150;
