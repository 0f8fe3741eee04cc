import type { Page } from './browser.ts';
import { until } from './process.ts';

declare global {
  interface Window {
    /** The plain player's: everything of a broadcast that is over was shown, and hls.js does not say so. */
    shownWithoutAnEnd?: () => boolean;
    /** What our watch page shows to tests; web/src/watch/test-hook.ts describes it. */
    __caudal?: {
      readonly status: string;
      readonly following: boolean;
      readonly levels: readonly { index: number; label: string }[];
      latencyMs(): number | null;
    };
  }
}

/** What a viewer saw from one moment to another. */
export interface Sight {
  /** Milliseconds of the page's clock. */
  now: number;
  /** Pictures shown. */
  frames: number;
  /** Waits of more than a quarter second from one picture to the next, the one that still lasts included. */
  hitches: Hitch[];
  /** Times the element said `ended`. */
  ended: number;
  height: number;
  /** Seconds of media between the picture and the end of what is buffered. */
  ahead: number;
}

export interface Hitch {
  /** When it ended, or now, in milliseconds of the page's clock. */
  until: number;
  /** Milliseconds. */
  lasted: number;
}

/** Somebody in front of a page with one `<video>`, who counts pictures. */
export class Viewer {
  readonly page: Page;
  readonly problems: string[] = [];

  private constructor(page: Page) {
    this.page = page;
  }

  static async open(page: Page, url: string): Promise<Viewer> {
    const viewer = new Viewer(page);
    page.on('pageerror', (error) => viewer.problems.push(String(error)));
    await page.goto(url);
    await page.waitForSelector('video');
    await page.evaluate((noticed) => {
      const video = document.querySelector('video');
      if (!video) throw new Error('no video');
      const sight = { frames: 0, at: performance.now(), hitches: [] as Hitch[], ended: 0 };
      const shown = () => {
        const now = performance.now();
        if (sight.frames > 0 && now - sight.at > noticed) sight.hitches.push({ until: now, lasted: now - sight.at });
        sight.frames += 1;
        sight.at = now;
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
      video.addEventListener('ended', () => (sight.ended += 1));
      Object.assign(window, { sight });
    }, NOTICED_MS);
    return viewer;
  }

  see(): Promise<Sight> {
    return this.page.evaluate((noticed) => {
      const { sight } = window as unknown as {
        sight: { frames: number; at: number; hitches: Hitch[]; ended: number };
      };
      const video = document.querySelector('video');
      const now = performance.now();
      const still = sight.frames > 0 && now - sight.at > noticed;
      const end = video?.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0;
      return {
        now,
        frames: sight.frames,
        hitches: [...sight.hitches, ...(still ? [{ until: now, lasted: now - sight.at }] : [])],
        ended: sight.ended,
        height: video?.videoHeight ?? 0,
        ahead: end - (video?.currentTime ?? 0),
      };
    }, NOTICED_MS);
  }

  /** Waits until nothing is left to be shown of a broadcast that is over. */
  async seesItsEnd(): Promise<void> {
    const told = until('the player says that it has ended', async () => (await this.see()).ended > 0);
    await told.catch(async (error: unknown) => {
      if (await this.page.evaluate(() => window.shownWithoutAnEnd?.())) return;
      throw new Error(`${String(error)}: ${await this.standing()}`, { cause: error });
    });
  }

  /** Waits until `count` more pictures have been shown. */
  async watches(count: number, patience = 30_000): Promise<Sight> {
    const { frames } = await this.see();
    const watched = until(`${count} pictures after ${frames}`, async () => {
      const seen = await this.see();
      return seen.frames >= frames + count && seen;
    }, patience);
    return watched.catch(async (error: unknown) => {
      throw new Error(`${String(error)}: ${await this.standing()}`, { cause: error });
    });
  }

  /** How the page's player stands, for the report of a failure. */
  async standing(): Promise<string> {
    const standing = this.page.evaluate(() => {
      const video = document.querySelector('video');
      const buffered = Array.from({ length: video?.buffered.length ?? 0 }, (_, index) => [
        video?.buffered.start(index),
        video?.buffered.end(index),
      ]);
      const { fatal, problems } = window as { fatal?: string[]; problems?: string[] };
      return JSON.stringify({
        time: video?.currentTime,
        buffered,
        readyState: video?.readyState,
        paused: video?.paused,
        seeking: video?.seeking,
        error: video?.error?.message,
        fatal,
        problems: problems?.slice(-20),
        ours: window.__caudal?.status,
      });
    });
    return standing.catch((error: unknown) => `its page does not answer: ${String(error)}`);
  }
}

/**
 * Lets something happen, waits until all of them watch again, says how long the picture stood still for each, and gives that
 * in seconds. Throws when one of them was told that the broadcast ended.
 */
export async function outlive(
  viewers: readonly Viewer[],
  what: string,
  happening: () => Promise<unknown>,
  pictures: number,
): Promise<number[]> {
  const before = await Promise.all(viewers.map((viewer) => viewer.see()));
  await happening();
  const after = await Promise.all(viewers.map((viewer) => viewer.watches(pictures, 45_000)));
  const still = after.map((seen, index) => hitchesSince(before[index] ?? seen, seen));
  console.log(`${what}: the picture stood still for ${still.map((one) => `${JSON.stringify(one)} s`).join(' and ')}`);
  if (after.some(({ ended }) => ended > 0)) throw new Error(`${what}: somebody was told that it ended`);
  return still.flat();
}

/** What stood still, in seconds, that had not ended at `since`. */
export function hitchesSince(since: Sight, seen: Sight): number[] {
  return seen.hitches.filter(({ until: end }) => end > since.now).map(({ lasted }) => Math.round(lasted / 10) / 100);
}

/** People notice a picture that stands still for about this long. */
const NOTICED_MS = 250;
