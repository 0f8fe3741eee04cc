/** One FLV tag: type 8 is audio, 9 video, 18 data. */
export interface FlvTag {
  type: number;
  /** Milliseconds. */
  timestamp: number;
  /** Header, body and the size that follows it. */
  bytes: Buffer;
}

/** Takes an FLV stream apart as it arrives. */
export class FlvReader {
  #kept: Buffer = Buffer.alloc(0);
  /** The file header, once it is there; it goes on in front of the first tag. */
  header: Buffer | undefined;

  push(chunk: Buffer): FlvTag[] {
    this.#kept = Buffer.concat([this.#kept, chunk]);
    if (!this.header) {
      if (this.#kept.length < FILE_HEADER) return [];
      this.header = this.#kept.subarray(0, FILE_HEADER);
      this.#kept = this.#kept.subarray(FILE_HEADER);
    }
    const tags: FlvTag[] = [];
    for (;;) {
      if (this.#kept.length < TAG_HEADER) return tags;
      const whole = TAG_HEADER + this.#kept.readUIntBE(1, 3) + TRAILER;
      if (this.#kept.length < whole) return tags;
      const bytes = this.#kept.subarray(0, whole);
      this.#kept = this.#kept.subarray(whole);
      const timestamp = bytes.readUIntBE(4, 3) + bytes.readUInt8(7) * 0x100_0000;
      tags.push({ type: bytes.readUInt8(0), timestamp, bytes });
    }
  }
}

/** Signature, flags and header size, then the size of the tag before the first, which is 0. */
const FILE_HEADER = 9 + 4;
const TAG_HEADER = 11;
const TRAILER = 4;
