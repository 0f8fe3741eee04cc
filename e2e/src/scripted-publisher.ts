import { setTimeout as passed } from 'node:timers/promises';

import type { Tag } from './clip.ts';
import { until } from './process.ts';
import { RtmpPeer } from './rtmp-peer.ts';

/** An encoder that sends what a script says, when the script says it. */
export class ScriptedPublisher {
  /** All has been sent, or the connection is gone. */
  readonly done: Promise<void>;
  readonly #peer: RtmpPeer;
  readonly #key: string;
  #stopped = false;

  private constructor(peer: RtmpPeer, key: string, tags: Tag[]) {
    this.#peer = peer;
    this.#key = key;
    this.done = this.#send([...tags].sort((one, other) => one.at - other.at));
  }

  /** Let in by the platform, or told why not. */
  static async start(rtmpUrl: string, key: string, tags: Tag[]): Promise<ScriptedPublisher> {
    const port = Number(new URL(rtmpUrl.replace(/^rtmp/, 'http')).port);
    const peer = await RtmpPeer.open(port);
    if (!peer) throw new Error('no connection');
    peer.publish('live', key, rtmpUrl);
    await until('an answer to publish', () => /NetStream\.Publish\.\w+/.test(peer.heard));
    peer.setChunkSize(CHUNK);
    return new ScriptedPublisher(peer, key, tags);
  }

  /** What the platform said to it. */
  get heard(): string {
    return this.#peer.heard;
  }
  get closed(): boolean {
    return this.#peer.closed;
  }

  ended(): Promise<void> {
    return this.#peer.ended();
  }

  /** Says good-bye, as an encoder that is stopped. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.done;
    if (!this.#peer.closed) this.#peer.unpublish(this.#key);
    await Promise.race([this.#peer.ended(), passed(2_000, undefined, { ref: false })]);
    this.#peer.close();
  }

  /** Goes without a word. */
  async vanish(): Promise<void> {
    this.#stopped = true;
    await this.done;
    this.#peer.close();
  }

  async #send(tags: Tag[]): Promise<void> {
    const begun = performance.now();
    for (const { at, kind, stamp, body } of tags) {
      const early = at - (performance.now() - begun);
      if (early > 1) await passed(early);
      if (this.#stopped || this.#peer.closed) return;
      this.#peer.send(TYPES[kind], ((stamp % WRAP) + WRAP) % WRAP, kind === 'data' ? Buffer.concat([SET_DATA_FRAME, body]) : body);
    }
  }
}

const TYPES = { audio: 8, video: 9, data: 18 } as const;
/** What encoders put before their metadata. */
const SET_DATA_FRAME = Buffer.concat([Buffer.from([2, 0, 13]), Buffer.from('@setDataFrame')]);
const WRAP = 2 ** 32;
const CHUNK = 4096;
