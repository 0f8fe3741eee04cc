import { Program } from '../../e2e/src/process.ts';

/** A moving picture with the time of its making drawn into each frame, as rows of black and white blocks. */
const WIDTH = 1280;
const HEIGHT = 720;
const FPS = 30;
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

/** Publishes the clock; frames are made on time, and never late ones to catch up with. */
export function publishClock(url: string, encoder: Encoder): Program {
  const program = new Program(
    'ffmpeg',
    [
      '-hide_banner', '-loglevel', 'error',
      '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-s', `${WIDTH}x${HEIGHT}`, '-r', String(FPS), '-i', 'pipe:0',
      '-re', '-f', 'lavfi', '-i', 'sine=frequency=330:sample_rate=48000',
      '-c:v', 'libx264', ...ENCODERS[encoder], '-threads', '1', '-g', '60', '-keyint_min', '60', '-sc_threshold', '0',
      '-b:v', '2500k', '-maxrate', '2500k', '-bufsize', '2500k', '-c:a', 'aac', '-b:a', '128k',
      '-flush_packets', '1', '-f', 'flv', url,
    ],
    { stdio: ['pipe', 'ignore', 'pipe'] },
  );
  const input = program.child.stdin;
  if (!input) throw new Error('no standard input');
  input.on('error', () => {});
  const frame = Buffer.alloc((WIDTH * HEIGHT * 3) / 2, 128);
  const started = Date.now();
  let made = 0;
  const timer = setInterval(() => {
    if (!program.running) return clearInterval(timer);
    while (started + (made * 1000) / FPS <= Date.now()) {
      draw(frame, made, Date.now());
      input.write(Buffer.from(frame));
      made += 1;
    }
  }, 4);
  program.child.once('exit', () => clearInterval(timer));
  return program;
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
