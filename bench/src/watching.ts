import { browse, CHROMIUM, type Page } from '../../e2e/src/browser.ts';
import { until } from '../../e2e/src/process.ts';
import { BITS, BLOCK } from './clock.ts';
import type { SeenFrame } from './journey.ts';
import { takeNotes, type PageNotes } from './page-notes.ts';
import { pause } from './table.ts';

/** What a viewer saw. */
export interface Seen {
  /** Milliseconds from the making of a frame to its showing. */
  latencies: number[];
  /** Milliseconds by which a frame's clock strays from its place in the stream: how exactly the clock is drawn and read. */
  strays: number[];
  /** Frames whose clock could not be read. */
  unread: number;
  /** Times that the picture stood still for more than 200 ms. */
  stalls: number;
  /** Share of the time played at a rate outside 0.97 to 1.03. */
  offRate: number;
  /** Frames that the browser decoded and never showed, as a share. */
  dropped: number;
  /** Milliseconds from opening the page to the first picture. */
  firstPicture: number;
  /** Milliseconds from its noticing to when the browser expects it on the screen. */
  ahead: number[];
  /** Milliseconds of buffer that our player aimed at, sampled evenly. */
  targets: number[];
  frames: SeenFrame[];
  notes: PageNotes;
}

/** Opens a page with a video, and reads the clock in its frames for `seconds`, after `settle` seconds. */
export async function watch(url: string, settle: number, seconds: number): Promise<Seen> {
  const { browser, close } = await browse(CHROMIUM);
  try {
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 900 });
    // esbuild names functions by a helper of its own, which the page has not.
    await page.evaluateOnNewDocument('globalThis.__name = (named) => named;');
    const opened = Date.now();
    await page.evaluateOnNewDocument(takeNotes);
    await page.goto(url);
    await until('the first picture', () => page.evaluate(() => (document.querySelector('video')?.readyState ?? 0) >= 3));
    const firstPicture = Date.now() - opened;
    await page.evaluate(observe, BITS, BLOCK, settle * 1000);
    await pause((settle + seconds) * 1000);
    return { ...(await read(page)), firstPicture };
  } finally {
    await close();
  }
}

interface Noted {
  frames: (SeenFrame & { ahead: number })[];
  unread: number;
  stalls: number;
  offRate: number;
  samples: number;
  targets: number[];
  last: number;
  dropped: number;
  total: number;
}

/** Runs in the page. */
function observe(bits: number, block: number, settle: number): void {
  const video = document.querySelector('video');
  if (!video) throw new Error('no video');
  const canvas = document.createElement('canvas');
  canvas.width = bits * block;
  canvas.height = block * 4;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('no canvas');
  const from = performance.now() + settle;
  const seen: Noted = { frames: [], unread: 0, stalls: 0, offRate: 0, samples: 0, targets: [], last: 0, dropped: 0, total: 0 };
  Object.assign(window, { seen });
  const look = (_: number, { mediaTime, expectedDisplayTime }: VideoFrameCallbackMetadata): void => {
    const now = Date.now();
    const position = video.currentTime * 1000;
    const ahead = expectedDisplayTime - performance.now();
    const scale = video.videoWidth / 1280;
    context.drawImage(video, 0, 0, bits * block * scale, block * 4 * scale, 0, 0, canvas.width, canvas.height);
    const row = (top: number): boolean[] => {
      const pixels = context.getImageData(0, top, canvas.width, 1).data;
      return Array.from({ length: bits }, (_, bit) => (pixels[(bit * block + block / 2) * 4] ?? 0) > 127);
    };
    const [upper, lower] = [row(block), row(block * 3)];
    const time = performance.now();
    if (time >= from) {
      const made = upper.reduce((sum, white, bit) => sum + (white ? 2 ** bit : 0), 0);
      if (upper.every((white, bit) => white !== lower[bit])) seen.frames.push({ made, shown: now, media: mediaTime * 1000, position, ahead });
      else seen.unread += 1;
      if (seen.last && time - seen.last > 200) seen.stalls += 1;
      seen.last = time;
      const quality = video.getVideoPlaybackQuality();
      seen.dropped = quality.droppedVideoFrames;
      seen.total = quality.totalVideoFrames;
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  setInterval(() => {
    if (performance.now() < from) return;
    seen.samples += 1;
    const { __caudal: ours } = window as unknown as { __caudal?: { target: number } };
    if (ours) seen.targets.push(ours.target * 1000);
    if (video.playbackRate < 0.97 || video.playbackRate > 1.03) seen.offRate += 1;
  }, 50);
}

async function read(page: Page): Promise<Omit<Seen, 'firstPicture'>> {
  const { seen, notes } = await page.evaluate(() => {
    const { seen, pageNotes } = window as unknown as { seen: Noted; pageNotes: PageNotes };
    return { seen, notes: pageNotes };
  });
  const { frames, unread, stalls, offRate, samples, dropped, total } = seen;
  const offsets = frames.map(({ made, media }) => made - media).sort((a, b) => a - b);
  const usual = offsets[Math.floor(offsets.length / 2)] ?? 0;
  return {
    frames,
    notes,
    targets: seen.targets,
    ahead: frames.map(({ ahead }) => ahead),
    latencies: frames.map(({ made, shown }) => shown - made),
    strays: offsets.map((offset) => Math.abs(offset - usual)),
    unread,
    stalls,
    offRate: samples ? offRate / samples : 0,
    dropped: total ? dropped / total : 0,
  };
}
