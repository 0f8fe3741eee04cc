import type { FlvTag } from '../../e2e/src/flv.ts';
import { until } from '../../e2e/src/process.ts';
import { RtmpPeer } from '../../e2e/src/rtmp-peer.ts';

/** Sends a recording over and over in real time, in this process: fifty of it cost less than two ffmpegs. */
export class Publisher {
  /** `Date.now()` when the first keyframe was written to the socket. */
  readonly firstKeyframe: number;
  readonly #peer: RtmpPeer;
  readonly #tags: FlvTag[];
  readonly #timer: NodeJS.Timeout;
  readonly #started = performance.now();
  #next = 0;
  #round = 0;

  private constructor(peer: RtmpPeer, tags: FlvTag[]) {
    this.#peer = peer;
    this.#tags = tags;
    peer.socket.write(message(2, SET_CHUNK_SIZE, 0, 0, uint32(CHUNK)));
    this.#send();
    this.firstKeyframe = Date.now();
    this.#timer = setInterval(() => this.#send(), 5);
  }

  /** Resolves when the first keyframe has been sent. */
  static async start(url: string, tags: FlvTag[]): Promise<Publisher> {
    const { port, pathname } = new URL(url.replace(/^rtmp/, 'http'));
    const [, app = '', key = ''] = pathname.split('/');
    const peer = await RtmpPeer.open(Number(port));
    if (!peer) throw new Error('no connection to the router');
    peer.publish(app, key, `rtmp://127.0.0.1:${port}/${app}`);
    await until('the router lets the publisher in', () => peer.heard.includes('NetStream.Publish.Start'));
    return new Publisher(peer, tags);
  }

  get running(): boolean {
    return !this.#peer.closed;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#peer.close();
    await this.#peer.ended();
  }

  #send(): void {
    const length = (this.#tags.at(-1)?.timestamp ?? 0) + FRAME_MS;
    const due = performance.now() - this.#started;
    const out: Buffer[] = [];
    for (;;) {
      const tag = this.#tags[this.#next];
      if (!tag) {
        this.#next = 0;
        this.#round += 1;
        continue;
      }
      const timestamp = tag.timestamp + this.#round * length;
      if (timestamp > due) break;
      this.#next += 1;
      const body = tag.bytes.subarray(TAG_HEADER, -4);
      if (tag.type !== DATA) out.push(message(tag.type === AUDIO ? 4 : 6, tag.type, timestamp, 1, body));
      else if (this.#round === 0) out.push(message(4, DATA, 0, 1, Buffer.concat([SET_DATA_FRAME, body])));
    }
    if (out.length > 0 && this.running) this.#peer.socket.write(Buffer.concat(out));
  }
}

/** One RTMP message with a full header, in chunks. */
function message(chunkStream: number, type: number, timestamp: number, stream: number, body: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header[0] = chunkStream;
  header.writeUIntBE(timestamp, 1, 3);
  header.writeUIntBE(body.length, 4, 3);
  header[7] = type;
  header.writeUInt32LE(stream, 8);
  const chunks: Buffer[] = [header];
  for (let at = 0; at < body.length; at += CHUNK) {
    if (at > 0) chunks.push(Buffer.from([0xc0 | chunkStream]));
    chunks.push(body.subarray(at, at + CHUNK));
  }
  return Buffer.concat(chunks);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const SET_CHUNK_SIZE = 1;
const AUDIO = 8;
const DATA = 18;
const TAG_HEADER = 11;
const FRAME_MS = 33;
/** As OBS does: a frame is a chunk or a few. */
const CHUNK = 60_000;
/** The AMF string that makes a file's metadata a message. */
const SET_DATA_FRAME = Buffer.concat([Buffer.from([2, 0, 13]), Buffer.from('@setDataFrame')]);
