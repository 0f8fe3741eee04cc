import { browse, type Page } from '../../e2e/src/browser.ts';
import { until } from '../../e2e/src/process.ts';
import { BITS, BLOCK } from './clock.ts';

/** What a viewer saw. */
export interface Seen {
  /** Milliseconds from the making of a frame to its showing. */
  latencies: number[];
  /** Times that the picture stood still for more than 200 ms. */
  stalls: number;
  /** Share of the time played at a rate outside 0.97 to 1.03. */
  offRate: number;
  /** Milliseconds from opening the page to the first picture. */
  firstPicture: number;
}

/** Opens a page with a video, and reads the clock in its frames for `seconds`, after `settle` seconds. */
export async function watch(url: string, settle: number, seconds: number): Promise<Seen> {
  const { browser, close } = await browse();
  try {
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 900 });
    const opened = Date.now();
    await page.goto(url);
    await until('the first picture', () => page.evaluate(() => (document.querySelector('video')?.readyState ?? 0) >= 3));
    const firstPicture = Date.now() - opened;
    await page.evaluate(observe, BITS, BLOCK, settle * 1000);
    await new Promise((resolve) => setTimeout(resolve, (settle + seconds) * 1000));
    const seen = await read(page);
    return { ...seen, firstPicture };
  } finally {
    await close();
  }
}

/** Runs in the page. */
function observe(bits: number, block: number, settle: number): void {
  const video = document.querySelector('video');
  if (!video) throw new Error('no video');
  const canvas = document.createElement('canvas');
  canvas.width = bits * block;
  canvas.height = block;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('no canvas');
  const from = performance.now() + settle;
  const seen = { latencies: [] as number[], stalls: 0, offRate: 0, samples: 0, last: 0 };
  (window as unknown as { seen: typeof seen }).seen = seen;
  const look = (): void => {
    const now = Date.now();
    const scale = video.videoWidth / 1280;
    context.drawImage(video, 0, 8 * scale, bits * block * scale, block * scale, 0, 0, canvas.width, block);
    const pixels = context.getImageData(0, block / 2, canvas.width, 1).data;
    let made = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      if ((pixels[(bit * block + block / 2) * 4] ?? 0) > 127) made += 2 ** bit;
    }
    const time = performance.now();
    if (time >= from) {
      // A frame torn by a level switch reads as nonsense.
      if (now - made >= 0 && now - made < 60_000) seen.latencies.push(now - made);
      if (seen.last && time - seen.last > 200) seen.stalls += 1;
      seen.last = time;
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  setInterval(() => {
    if (performance.now() < from) return;
    seen.samples += 1;
    if (video.playbackRate < 0.97 || video.playbackRate > 1.03) seen.offRate += 1;
  }, 50);
}

function read(page: Page): Promise<Omit<Seen, 'firstPicture'>> {
  return page.evaluate(() => {
    const { latencies, stalls, offRate, samples } = (
      window as unknown as { seen: { latencies: number[]; stalls: number; offRate: number; samples: number } }
    ).seen;
    return { latencies, stalls, offRate: samples ? offRate / samples : 0 };
  });
}

/** The value below which the share `p` of `values` lies. */
export function percentile(values: number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}
