import type { Writable } from 'node:stream';

import { FlvReader } from '../../e2e/src/flv.ts';
import { Program } from '../../e2e/src/process.ts';
import type { PublisherNotes } from './journey.ts';

/** A moving picture with the time of its making drawn into each frame, as rows of black and white blocks. */
const WIDTH = 1280;
const HEIGHT = 720;
export const FPS = 30;
const RATE = 48_000;
/** Raw input says nothing about itself. */
const INPUT = ['-probesize', '32', '-analyzeduration', '0'];
/** Milliseconds since 1970 fit in 42 bits; a block of 16 pixels survives scaling to 360 lines. */
export const BITS = 42;
export const BLOCK = 16;

/** What an encoder is set to. */
export type Encoder = 'zerolatency' | 'obs';

const ENCODERS: Record<Encoder, string[]> = {
  zerolatency: ['-preset', 'veryfast', '-tune', 'zerolatency'],
  // OBS's defaults: about 0.85 s of what is measured is this encoder's own.
  obs: ['-preset', 'veryfast', '-bf', '2', '-rc-lookahead', '20'],
};

/** An encoder that publishes the clock, and what is known of its frames. */
export interface ClockPublisher extends PublisherNotes {
  stop: () => Promise<unknown>;
}

/** Publishes the clock; frames are made on time, and never late ones to catch up with. */
export function publishClock(url: string, encoder: Encoder): ClockPublisher {
  const program = new Program(
    'ffmpeg',
    [
      '-hide_banner', '-loglevel', 'error',
      // What is looked at before anything is encoded would be late for good, because picture waits for sound.
      ...INPUT, '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-s', `${WIDTH}x${HEIGHT}`, '-r', String(FPS), '-i', 'pipe:0',
      ...INPUT, '-f', 's16le', '-ar', String(RATE), '-ac', '1', '-i', 'pipe:3',
      '-c:v', 'libx264', ...ENCODERS[encoder], '-threads', '1', '-g', '60', '-keyint_min', '60', '-sc_threshold', '0',
      '-b:v', '2500k', '-maxrate', '2500k', '-bufsize', '2500k', '-c:a', 'aac', '-b:a', '128k',
      '-map', '0:v', '-map', '1:a', '-flags', '+global_header',
      // What is written to the server is written here as well, right after it.
      '-f', 'tee', [url, 'pipe:1'].map((to) => `[f=flv:flush_packets=1]${to}`).join('|'),
    ],
    { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] },
  );
  const notes: PublisherNotes = { made: [], encoded: [] };
  noteOutput(program, notes);
  const input = program.child.stdin;
  const sound = program.child.stdio[3] as Writable | null;
  if (!input || !sound) throw new Error('no pipes');
  for (const pipe of [input, sound]) pipe.on('error', () => {});
  const frame = Buffer.alloc((WIDTH * HEIGHT * 3) / 2, 128);
  const started = Date.now();
  let made = 0;
  let heard = 0;
  const timer = setInterval(() => {
    if (!program.running) return clearInterval(timer);
    const due = Math.floor(((Date.now() - started) * RATE) / 1000);
    if (due > heard) sound.write(tone(heard, due));
    heard = Math.max(heard, due);
    while (started + (made * 1000) / FPS <= Date.now()) {
      const now = Date.now();
      notes.made.push(now);
      draw(frame, made, now);
      input.write(Buffer.from(frame));
      made += 1;
    }
  }, 4);
  program.child.once('exit', () => clearInterval(timer));
  return { ...notes, stop: () => program.stop() };
}

/** Samples of a note, as a microphone would have them: up to now, and of the same clock as the picture. */
function tone(from: number, to: number): Buffer {
  const samples = Int16Array.from({ length: to - from }, (_, index) => 4000 * Math.sin((2 * Math.PI * 330 * (from + index)) / RATE));
  return Buffer.from(samples.buffer);
}

function noteOutput(program: Program, { encoded }: PublisherNotes): void {
  const reader = new FlvReader();
  program.child.stdout?.on('data', (chunk: Buffer) => {
    const at = Date.now();
    for (const { type, timestamp, bytes } of reader.push(chunk)) {
      // The body of a picture: its kind, 1 for a frame (0 are the parameters), and by how much it is shown later.
      if (type === 9 && bytes.readUInt8(12) === 1) encoded.push({ presentation: timestamp + bytes.readIntBE(13, 3), at });
    }
  });
}

function draw(frame: Buffer, count: number, now: number): void {
  // A bar that wanders, so that there is motion to encode.
  frame.fill(96, 0, WIDTH * HEIGHT);
  const bar = (count * 8) % (WIDTH - 64);
  for (let y = 200; y < 520; y += 1) frame.fill(200, y * WIDTH + bar, y * WIDTH + bar + 64);
  // Twice, the second time with black and white exchanged: a frame that was misread does not fit itself.
  for (const [top, inverted] of [[0, false], [BLOCK * 2, true]] as const) {
    for (let y = top; y < top + BLOCK * 2; y += 1) {
      for (let bit = 0; bit < BITS; bit += 1) {
        const white = (Math.floor(now / 2 ** bit) % 2 === 1) !== inverted;
        frame.fill(white ? 235 : 16, y * WIDTH + bit * BLOCK, y * WIDTH + (bit + 1) * BLOCK);
      }
    }
  }
}
