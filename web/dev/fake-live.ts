import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** What `POST /fake/control` changes. */
export interface Weather {
  /** The publisher is gone: playlists stand still. */
  away: boolean;
  ended: boolean;
  /** Milliseconds between a part's last picture and the part. */
  delay: number;
  /** Up to so many more, another number for each part. */
  jitter: number;
  /** Added to every answer. */
  roundTrip: number;
}

interface Track {
  init: Buffer;
  /** Each part's fragments, for one loop. */
  parts: Buffer[];
  timescale: number;
}

/** A clip in a loop, served as LL-HLS with 0.2 s parts and 2 s segments. */
export class FakeLive {
  readonly weather: Weather = { away: false, ended: false, delay: 40, jitter: 0, roundTrip: 0 };
  readonly startedAt = Date.now() - 26 * 60_000;
  /** Segments that the publisher was away for. */
  readonly #gaps: { from: number; to: number }[] = [];
  #endedAt: number | null = null;
  #awaySince: number | null = null;

  private constructor(
    private readonly tracks: ReadonlyMap<string, Track>,
    private readonly posters: ReadonlyMap<string, Buffer>,
  ) {}

  static async prepare(): Promise<FakeLive> {
    const folder = join(tmpdir(), 'caudal-web-fake-2');
    await mkdir(folder, { recursive: true });
    const tracks = new Map<string, Track>();
    for (const [name, input, args] of CLIPS) {
      const file = await produce(join(folder, `${name}.mp4`), [...input, ...args, ...FRAGMENTS]);
      tracks.set(name, cut(file));
    }
    const posters = new Map<string, Buffer>();
    for (const [name, source] of POSTERS) {
      posters.set(
        name,
        await produce(join(folder, `${name}.jpg`), ['-f', 'lavfi', '-i', source, '-frames:v', '1']),
      );
    }
    return new FakeLive(tracks, posters);
  }

  get endedAt(): string | null {
    return this.#endedAt === null ? null : new Date(this.#endedAt).toISOString();
  }

  async answer(req: IncomingMessage, res: ServerResponse, url: URL): Promise<boolean> {
    const path = url.pathname.replace(/^\/v\/[^/]+/, '');
    if (path === '/fake/control') {
      this.#control(JSON.parse(await bodyOf(req)) as Partial<Weather>);
      send(res, 200, 'application/json', JSON.stringify(this.weather));
      return true;
    }
    const poster = /^\/thumbnails\/(\w+)\.jpg$/.exec(path)?.[1];
    if (poster !== undefined) {
      const image = this.posters.get(poster);
      send(res, image === undefined ? 404 : 200, 'image/jpeg', image ?? '');
      return true;
    }
    if (!path.startsWith('/live/fake/')) return false;
    if (this.weather.roundTrip > 0) await sleep(this.weather.roundTrip);
    await this.#media(res, path.slice('/live/fake/'.length), url.searchParams);
    return true;
  }

  #control(change: Partial<Weather>): void {
    if (change.away === true && this.#awaySince === null) this.#awaySince = this.#openSegment() + 1;
    if (change.away === false && this.#awaySince !== null) {
      const to = Math.floor((Date.now() - this.startedAt) / (1000 * SEGMENT)) + 1;
      if (to > this.#awaySince) this.#gaps.push({ from: this.#awaySince, to });
      this.#awaySince = null;
    }
    if (change.ended === true) this.#endedAt = Date.now();
    Object.assign(this.weather, change);
  }

  async #media(res: ServerResponse, path: string, query: URLSearchParams): Promise<void> {
    if (path === 'master.m3u8') return send(res, 200, PLAYLIST, MASTER);
    const [, name, rest] = /^(\w+)\/(.+)$/.exec(path) ?? [];
    const track = this.tracks.get(name ?? '');
    if (name === undefined || rest === undefined || track === undefined)
      return send(res, 404, 'text/plain', 'no');
    if (rest === 'init.mp4') return send(res, 200, 'video/mp4', track.init);
    if (rest === 'index.m3u8') {
      const msn = query.get('_HLS_msn');
      const part = Number(query.get('_HLS_part') ?? PARTS - 1);
      if (msn !== null && !(await this.#until(Number(msn) * PARTS + part)))
        return send(res, 503, 'text/plain', 'late');
      return send(res, 200, PLAYLIST, this.#playlist());
    }
    const number = /^p(\d+)\.m4s$/.exec(rest)?.[1];
    if (number !== undefined) {
      if (!(await this.#until(Number(number)))) return send(res, 404, 'text/plain', 'late');
      return send(res, 200, 'video/mp4', piece(track, Number(number)));
    }
    const segment = /^s(\d+)\.m4s$/.exec(rest)?.[1];
    if (segment === undefined) return send(res, 404, 'text/plain', 'no');
    const first = Number(segment) * PARTS;
    return send(
      res,
      200,
      'video/mp4',
      Buffer.concat(Array.from({ length: PARTS }, (_, index) => piece(track, first + index))),
    );
  }

  /** Resolves once part `n` is there; to false where it is not in time. */
  async #until(n: number): Promise<boolean> {
    const deadline = Date.now() + 3 * TARGET * 1000;
    while (this.#newest() < n && this.#endedAt === null) {
      if (Date.now() > deadline) return false;
      await sleep(
        this.#awaySince === null ? Math.max(2, this.#readyAt(this.#newest() + 1) - Date.now()) : 20,
      );
    }
    return true;
  }

  #readyAt(n: number): number {
    const { delay, jitter } = this.weather;
    return this.startedAt + (n + 1) * PART * 1000 + delay + jitter * noise(n);
  }

  /** The newest part that is there; parts never overtake each other. */
  #newest(): number {
    const now = this.#endedAt ?? Date.now();
    let n = Math.floor((now - this.startedAt - this.weather.delay) / (PART * 1000)) - 1;
    for (let back = 0; back < 15; back += 1) {
      const first = n - back;
      if (this.#readyAt(first) > now) n = Math.min(n, first - 1);
    }
    return this.#awaySince === null ? n : Math.min(n, this.#awaySince * PARTS - 1);
  }

  #openSegment(): number {
    return Math.floor((this.#newest() + 1) / PARTS);
  }

  #playlist(): string {
    const newest = this.#newest();
    const open = Math.floor((newest + 1) / PARTS);
    const first = Math.max(0, open - WINDOW);
    const lines = [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      `#EXT-X-TARGETDURATION:${TARGET}`,
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${(PART * 3).toFixed(3)}`,
      `#EXT-X-PART-INF:PART-TARGET=${PART.toFixed(3)}`,
      `#EXT-X-MEDIA-SEQUENCE:${first}`,
      '#EXT-X-MAP:URI="init.mp4"',
    ];
    for (let msn = first; msn <= open; msn += 1) {
      const gap = this.#gaps.some(({ from, to }) => msn >= from && msn < to);
      const parts = Math.min(PARTS, newest + 1 - msn * PARTS);
      if (parts > 0 || gap) {
        lines.push(
          `#EXT-X-PROGRAM-DATE-TIME:${new Date(this.startedAt + msn * SEGMENT * 1000).toISOString()}`,
        );
      }
      if (!gap && msn >= open - 3) {
        for (let index = 0; index < parts; index += 1) {
          const independent = index === 0 ? ',INDEPENDENT=YES' : '';
          lines.push(
            `#EXT-X-PART:DURATION=${PART.toFixed(3)},URI="p${msn * PARTS + index}.m4s"${independent}`,
          );
        }
      }
      if (gap) lines.push('#EXT-X-GAP');
      if (msn < open || gap) lines.push(`#EXTINF:${SEGMENT.toFixed(3)},`, `s${msn}.m4s`);
    }
    lines.push(
      this.#endedAt === null ? `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p${newest + 1}.m4s"` : '#EXT-X-ENDLIST',
    );
    return lines.join('\n') + '\n';
  }
}

/** A part of the endless stream: the loop's part with its decode times moved on. */
function piece(track: Track, n: number): Buffer {
  const perLoop = track.parts.length;
  const part = Buffer.from(track.parts[n % perLoop] ?? Buffer.alloc(0));
  const shift = BigInt(Math.floor(n / perLoop)) * BigInt(LOOP * track.timescale);
  for (const { type, start, end } of boxes(part, 0, part.length)) {
    if (type !== 'moof') continue;
    const at = decodeTimeAt(part, start, end);
    part.writeBigUInt64BE(part.readBigUInt64BE(at) + shift, at);
  }
  return part;
}

function cut(file: Buffer): Track {
  const top = boxes(file, 0, file.length);
  const moof = top.findIndex(({ type }) => type === 'moof');
  const init = file.subarray(0, top[moof]?.offset);
  // mdhd's timescale: version 1 has eight-byte times in front of it.
  const mdhd = file.indexOf('mdhd') + 4;
  const timescale = file.readUInt32BE(mdhd + (file[mdhd] === 1 ? 20 : 12));
  const parts: Buffer[][] = Array.from({ length: LOOP / PART }, () => []);
  for (const { type, start, end, offset } of top) {
    const next = top.find((box) => box.offset === end);
    if (type !== 'moof' || next === undefined) continue;
    const time = Number(file.readBigUInt64BE(decodeTimeAt(file, start, end))) / timescale;
    parts[Math.floor(time / PART + 1e-6)]?.push(file.subarray(offset, next.end));
  }
  return { init, timescale, parts: parts.map((fragments) => Buffer.concat(fragments)) };
}

function decodeTimeAt(file: Buffer, start: number, end: number): number {
  const tfdt = file.subarray(start, end).indexOf('tfdt');
  return start + tfdt + 8;
}

function boxes(file: Buffer, from: number, to: number) {
  const found: { type: string; offset: number; start: number; end: number }[] = [];
  for (let offset = from; offset + 8 <= to;) {
    const end = offset + file.readUInt32BE(offset);
    found.push({ type: file.toString('latin1', offset + 4, offset + 8), offset, start: offset + 8, end });
    offset = end;
  }
  return found;
}

async function produce(file: string, args: string[]): Promise<Buffer> {
  if (!existsSync(file)) {
    const extension = file.slice(file.lastIndexOf('.'));
    const unfinished = `${file}.unfinished${extension}`;
    await promisify(execFile)('ffmpeg', ['-v', 'error', '-y', ...args, unfinished]);
    await rename(unfinished, file);
  }
  return readFile(file);
}

export async function bodyOf(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

export function send(res: ServerResponse, status: number, type: string, body: string | Buffer): void {
  res.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  res.end(body);
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** The same number for the same part, whoever asks. */
function noise(n: number): number {
  const mixed = Math.imul((n ^ 0x9e3779b9) >>> 0, 0x85ebca6b) >>> 0;
  return ((mixed ^ (mixed >>> 13)) >>> 0) / 4294967296;
}

const PART = 0.2;
const PARTS = 10;
const SEGMENT = PART * PARTS;
const TARGET = 2;
const WINDOW = 8;
/** Seconds; whole segments, and whole AAC frames (1125 of them). */
const LOOP = 24;
const PLAYLIST = 'application/vnd.apple.mpegurl';

const SCENE = 'mandelbrot=s=1280x720:r=30:start_scale=1.2:end_scale=0.02:end_pts=720:maxiter=400';
const H264 = [
  '-c:v',
  'libx264',
  '-preset',
  'veryfast',
  '-tune',
  'zerolatency',
  '-g',
  '60',
  '-keyint_min',
  '60',
];
const FRAGMENTS = ['-movflags', '+frag_every_frame+empty_moov+default_base_moof+skip_trailer'];
const CLIPS: [string, string[], string[]][] = [
  ['high', ['-f', 'lavfi', '-i', SCENE], ['-t', `${LOOP}`, ...H264, '-b:v', '2500k', '-pix_fmt', 'yuv420p']],
  [
    'low',
    ['-f', 'lavfi', '-i', SCENE],
    ['-t', `${LOOP}`, ...H264, '-b:v', '600k', '-vf', 'scale=640:360,format=yuv420p'],
  ],
  [
    'audio',
    ['-f', 'lavfi', '-i', 'sine=220:r=48000'],
    ['-t', `${LOOP}`, '-c:a', 'aac', '-b:a', '96k', '-ac', '2'],
  ],
];

const gradient = (seed: number, ...colours: string[]) =>
  `gradients=s=960x540:seed=${seed}:n=${colours.length}:` +
  colours.map((colour, index) => `c${index}=${colour}`).join(':');
const POSTERS: [string, string][] = [
  ['fractal', 'mandelbrot=s=960x540:start_scale=0.35:maxiter=600'],
  ['dusk', gradient(11, '0x1b1f4b', '0x8e3b6d', '0xf2a65a')],
  ['forest', gradient(5, '0x0b2b26', '0x2f7a5d', '0xcfe8a9')],
  ['night', gradient(21, '0x06080f', '0x17406d', '0x3fd6c2')],
  ['clay', gradient(3, '0x3a1f1a', '0xb5563c', '0xf0d9b5')],
];

const MASTER = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2700000,RESOLUTION=1280x720,FRAME-RATE=30.000,CODECS="avc1.64001f,mp4a.40.2",AUDIO="audio"
high/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=800000,AVERAGE-BANDWIDTH=700000,RESOLUTION=640x360,FRAME-RATE=30.000,CODECS="avc1.64001e,mp4a.40.2",AUDIO="audio"
low/index.m3u8
`;
