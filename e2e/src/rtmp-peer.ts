import { connect, type Socket } from 'node:net';

/** An RTMP client that says no more than a test wants it to. */
export class RtmpPeer {
  readonly socket: Socket;
  /** What the server said after its handshake, as bytes of one character each. */
  heard = '';
  closed = false;
  #chunk = CHUNK;
  readonly #ended: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data: Buffer) => (this.heard += data.toString('latin1')));
    this.#ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.closed = true;
        resolve();
      });
    });
    // A reset is one way for a connection to end.
    socket.on('error', () => {});
  }

  /** A connection; `undefined` when the system does not give one. */
  static open(port: number): Promise<RtmpPeer | undefined> {
    return new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port });
      const peer = new RtmpPeer(socket);
      socket.once('connect', () => resolve(peer));
      socket.once('error', () => resolve(undefined));
    });
  }

  /** The plain handshake, which needs no answer to go on. */
  shakeHands(): void {
    this.socket.write(HELLO);
  }

  /** Handshake, `connect` and `publish` at once, as an encoder in a hurry. */
  publish(app: string, key: string, tcUrl: string): void {
    this.socket.write(publishing(app, key, tcUrl));
  }

  /** From here on chunks have up to so many bytes. */
  setChunkSize(size: number): void {
    const body = Buffer.alloc(4);
    body.writeUInt32BE(size);
    this.socket.write(header(2, 0, body.length, 1, 0));
    this.socket.write(body);
    this.#chunk = size;
  }

  /** A message of the publisher's: type 8 is audio, 9 video, 18 data. */
  send(type: number, timestamp: number, body: Buffer): void {
    const stream = type === 8 ? 4 : 6;
    const late = timestamp >= EXTENDED;
    const extended = Buffer.alloc(late ? 4 : 0);
    if (late) extended.writeUInt32BE(timestamp);
    const head = Buffer.concat([header(stream, Math.min(timestamp, EXTENDED), body.length, type, 1), extended]);
    // Continued chunks repeat an extended timestamp.
    const again = Buffer.concat([Buffer.from([0xc0 | stream]), extended]);
    const chunks: Buffer[] = [];
    for (let at = 0; at < body.length; at += this.#chunk) {
      chunks.push(at === 0 ? head : again, body.subarray(at, at + this.#chunk));
    }
    this.socket.write(Buffer.concat(chunks));
  }

  /** The good-bye of an encoder that is stopped. */
  unpublish(key: string): void {
    const goodbye = [
      [text('FCUnpublish'), number(4), NULL, text(key)],
      [text('deleteStream'), number(5), NULL, number(1)],
    ];
    for (const values of goodbye) this.socket.write(message(0, values, this.#chunk));
  }

  ended(): Promise<void> {
    return this.#ended;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** All that a publisher in a hurry sends before its media. */
export function publishing(app: string, key: string, tcUrl: string): Buffer {
  return Buffer.concat([
    HELLO,
    message(0, [text('connect'), number(1), object({ app, tcUrl, type: 'nonprivate' })]),
    message(0, [text('createStream'), number(2), NULL]),
    message(1, [text('publish'), number(3), NULL, text(key), text('live')]),
  ]);
}

/** A command on chunk stream 3. */
function message(stream: number, values: Buffer[], chunk = CHUNK): Buffer {
  const body = Buffer.concat(values);
  const chunks = [header(3, 0, body.length, 20, stream)];
  for (let at = 0; at < body.length; at += chunk) {
    if (at > 0) chunks.push(Buffer.from([0xc3]));
    chunks.push(body.subarray(at, at + chunk));
  }
  return Buffer.concat(chunks);
}

/** Of a message's first chunk. */
function header(chunkStream: number, timestamp: number, length: number, type: number, stream: number): Buffer {
  const header = Buffer.alloc(12);
  header[0] = chunkStream;
  header.writeUIntBE(timestamp, 1, 3);
  header.writeUIntBE(length, 4, 3);
  header[7] = type;
  header.writeUInt32LE(stream, 8);
  return header;
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([2]), name(value)]);
}

function name(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(9);
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

function object(fields: Record<string, string>): Buffer {
  const pairs = Object.entries(fields).flatMap(([key, value]) => [name(key), text(value)]);
  return Buffer.concat([Buffer.from([3]), ...pairs, Buffer.from([0, 0, 9])]);
}

const NULL = Buffer.from([5]);
const HANDSHAKE = 1536;
/** The version and both of the client's handshake packets, which the server does not compare. */
const HELLO = Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * HANDSHAKE)]);
const CHUNK = 128;
/** Stands for a timestamp of 32 bits that follows. */
const EXTENDED = 0xff_ffff;
