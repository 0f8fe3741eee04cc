/** What the player in a page loads and hands to the browser's buffers, and when. Times are milliseconds since 1970. */
export interface PageNotes {
  loads: { url: string; asked: number; received: number; bytes: number }[];
  appends: {
    video: boolean;
    /** The boxes in front of the media itself, base64. */
    head: string;
    bytes: number;
    from: number;
    done: number;
    /** Milliseconds that the browser adds to the times in it. */
    offset: number;
  }[];
}

/** Runs in the page before its own scripts do. */
export function takeNotes(): void {
  const notes: PageNotes = { loads: [], appends: [] };
  Object.assign(window, { pageNotes: notes });
  // A listener of the constructor's hears of the answer before any that the player sets.
  window.XMLHttpRequest = class extends XMLHttpRequest {
    #asked = Number.NaN;
    constructor() {
      super();
      this.addEventListener('readystatechange', () => {
        const { readyState, response, responseURL: url } = this;
        if (readyState !== XMLHttpRequest.DONE || !(response instanceof ArrayBuffer)) return;
        notes.loads.push({ url, asked: this.#asked, received: Date.now(), bytes: response.byteLength });
      });
    }
    override send(body?: XMLHttpRequestBodyInit | Document | null): void {
      this.#asked = Date.now();
      super.send(body);
    }
  };
  const kinds = new WeakMap<SourceBuffer, boolean>();
  const { addSourceBuffer } = MediaSource.prototype;
  MediaSource.prototype.addSourceBuffer = function (type) {
    const buffer = addSourceBuffer.call(this, type);
    kinds.set(buffer, type.startsWith('video'));
    return buffer;
  };
  const { appendBuffer } = SourceBuffer.prototype;
  SourceBuffer.prototype.appendBuffer = function (data) {
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const boxes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const media = 0x6d64_6174;
    let head = 0;
    while (head + 8 <= bytes.length && boxes.getUint32(head + 4) !== media) head += Math.max(8, boxes.getUint32(head));
    const append = {
      video: kinds.get(this) ?? false,
      head: btoa(String.fromCharCode(...bytes.subarray(0, Math.min(head, 8192)))),
      bytes: bytes.length,
      from: Date.now(),
      done: Number.NaN,
      offset: this.timestampOffset * 1000,
    };
    this.addEventListener(
      'updateend',
      () => {
        append.done = Date.now();
        notes.appends.push(append);
      },
      { once: true },
    );
    appendBuffer.call(this, data);
  };
}
