import type { Writable } from 'node:stream';

import { encode, type EncoderSettings } from './encoder.ts';
import { FlvReader, type FlvTag } from './flv.ts';
import { Program } from './process.ts';

/** What stays away during a drop: the pictures, or pictures and sound. */
export type Dropped = 'video' | 'everything';

/**
 * An encoder whose frames can be made to fail for a while, as OBS drops them when its network or its machine cannot
 * keep up: nothing is sent, and what comes afterwards has later timestamps. Frames after a drop refer to frames that
 * nobody got, as they do in life.
 *
 * One ffmpeg encodes, we take tags out, a second ffmpeg is the RTMP publisher.
 */
export class DroppingEncoder {
  readonly #encoder: Program;
  readonly #publisher: Program;
  readonly #reader = new FlvReader();
  #drop: { what: Dropped; forMs: number; from: number | undefined; done: () => void } | undefined;

  constructor(url: string, settings: EncoderSettings = {}) {
    this.#publisher = new Program(
      'ffmpeg',
      [
        '-hide_banner', '-loglevel', 'info', '-nostdin',
        '-probesize', '200k', '-analyzeduration', '500k', '-f', 'flv', '-i', 'pipe:0',
        // What arrives is sent at once: its muxer would hold sound back for as long as pictures are missing.
        '-c', 'copy', '-copyts', '-max_interleave_delta', '1', '-flush_packets', '1', '-f', 'flv', url,
      ],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    this.#encoder = encode('pipe:1', settings);
    const { stdout } = this.#encoder.child;
    const { stdin } = this.#publisher.child;
    if (!stdout || !stdin) throw new Error('pipes between the two');
    // It ends before its input does.
    stdin.on('error', () => {});
    stdout.on('data', (chunk: Buffer) => this.#relay(chunk, stdin));
    stdout.on('end', () => stdin.end());
  }

  /** The process that holds the connection. */
  get pid(): number {
    return this.#publisher.pid;
  }
  get running(): boolean {
    return this.#publisher.running && this.#encoder.running;
  }
  get stderr(): string {
    return this.#publisher.stderr;
  }

  /** Resolves when the first frame after the drop has been sent. */
  drop(what: Dropped, seconds: number): Promise<void> {
    return new Promise((done) => {
      this.#drop = { what, forMs: seconds * 1000, from: undefined, done };
    });
  }

  /** The publisher's exit code. */
  exited(): Promise<number | null> {
    return this.#publisher.exited();
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await Promise.all([this.#publisher.stop(signal), this.#encoder.stop(signal)]);
  }

  #relay(chunk: Buffer, to: Writable): void {
    const first = this.#reader.header === undefined;
    const tags = this.#reader.push(chunk);
    if (first && this.#reader.header) to.write(this.#reader.header);
    for (const tag of tags) if (!this.#dropped(tag)) to.write(tag.bytes);
  }

  #dropped(tag: FlvTag): boolean {
    const drop = this.#drop;
    const concerned = tag.type === VIDEO || (drop?.what === 'everything' && tag.type === AUDIO);
    if (!drop || !concerned) return false;
    drop.from ??= tag.timestamp;
    if (tag.timestamp < drop.from + drop.forMs) return true;
    if (tag.type !== VIDEO) return false;
    this.#drop = undefined;
    drop.done();
    return false;
  }
}

const AUDIO = 8;
const VIDEO = 9;
