import { chmod, mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as passed } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, register, type Stream } from '../src/account.ts';
import { browse, type Page } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { PlayerPages, type BrowserPlayer } from '../src/player_pages.ts';
import { Program, until } from '../src/process.ts';

type Manifest = 'HLS' | 'DASH';

/** Somebody's player. It has shown moving pictures when `watch` returns; it throws with what the player said. */
interface Player {
  name: string;
  manifest: Manifest;
  prepare: () => Promise<{ watch: (url: string) => Promise<string>; close: () => Promise<unknown> }>;
}

/** Much longer than any of them takes on a machine that has time. */
const PATIENCE = 45_000;
/** How much of the stream a player must show, in seconds of it. */
const SHOWN = 3;
const FPS = 25;

let platform: Platform;
let pages: PlayerPages;
let browser: Awaited<ReturnType<typeof browse>>;

beforeAll(async () => {
  platform = await Platform.start({ CAUDAL_LADDER: 'none' });
  pages = await PlayerPages.serve();
  browser = await browse();
});

afterAll(async () => {
  await browser?.close();
  await pages?.close();
  await platform?.stop();
});

/** In a browser: the clock runs, and the decoder's count of pictures with it. */
function inBrowser(name: BrowserPlayer, manifest: Manifest): Player {
  return {
    name,
    manifest,
    prepare: async () => {
      // A context has connections of its own: players must not wait for each other's.
      const context = await browser.browser.createBrowserContext();
      const page = await context.newPage();
      await page.goto(pages.url(name));
      const watch = async (url: string) => {
        const begun = Date.now();
        await page.evaluate((address) => {
          (globalThis as unknown as { join: (url: string) => void }).join(address);
        }, url);
        const first = await until('the first picture', () => look(page), PATIENCE).catch((error: unknown) => complain(page, error));
        const startup = Date.now() - begun;
        await until('three seconds of pictures', async () => {
          const now = await look(page);
          return now && now.time - first.time > SHOWN && now.frames - first.frames > (SHOWN * FPS) / 2;
        }, PATIENCE).catch((error: unknown) => complain(page, error));
        return `first picture after ${(startup / 1000).toFixed(1)} s`;
      };
      return { watch, close: () => context.close() };
    },
  };
}

function look(page: Page): Promise<{ time: number; frames: number } | undefined> {
  return page.evaluate(() => {
    const video = document.querySelector('video');
    const frames = video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
    return video && frames > 0 ? { time: video.currentTime, frames } : undefined;
  });
}

async function complain(page: Page, error: unknown): Promise<never> {
  const said = await page.evaluate(() => {
    const video = document.querySelector('video');
    const ranges = (of?: TimeRanges) => (of ? Array.from({ length: of.length }, (_, i) => [of.start(i), of.end(i)]) : []);
    // A page's top-level `const` is visible to what is evaluated in it, and nowhere else.
    const notes = (0, eval)('notes') as string[];
    return JSON.stringify({ notes, at: video?.currentTime, paused: video?.paused, buffered: ranges(video?.buffered), seekable: ranges(video?.seekable) });
  });
  throw new Error(`${String(error)}: ${said}`);
}

/** ffmpeg decodes what it reads; the null output counts. */
function ffmpeg(manifest: Manifest): Player {
  return {
    name: 'ffmpeg',
    manifest,
    prepare: () => {
      let program: Program | undefined;
      const watch = async (url: string) => {
        const begun = Date.now();
        program = new Program('ffmpeg', [
          '-hide_banner', '-nostdin', '-v', 'warning', '-stats', '-i', url, '-map', '0:v:0', '-frames:v', String(SHOWN * FPS), '-f', 'null', '-',
        ]);
        const deadline = setTimeout(() => program?.child.kill('SIGKILL'), PATIENCE);
        const code = await program.exited();
        clearTimeout(deadline);
        if (code !== 0 || !new RegExp(`frame= *${SHOWN * FPS}\\b`).test(program.stderr)) throw new Error(`${code}: ${program.stderr}`);
        return `${SHOWN} s decoded after ${((Date.now() - begun) / 1000).toFixed(1)} s`;
      };
      return Promise.resolve({ watch, close: async () => program?.stop('SIGKILL') });
    },
  };
}

/** VLC without a screen: its scene filter writes one picture a second of what it shows. */
function vlc(manifest: Manifest): Player {
  return {
    name: 'VLC',
    manifest,
    prepare: async () => {
      const folder = await mkdtemp(path.join(tmpdir(), 'caudal-vlc-'));
      await chmod(folder, 0o755);
      const shots = path.join(folder, 'shots');
      await mkdir(shots);
      await chmod(shots, 0o777);
      let program: Program | undefined;
      const watch = async (url: string) => {
        const begun = Date.now();
        program = new Program(
          'cvlc',
          ['-I', 'dummy', '--vout', 'dummy', '--aout', 'dummy', '--no-audio', '--video-filter', 'scene', '--scene-format', 'png',
           '--scene-path', shots, '--scene-prefix', 'shot', '--scene-ratio', String(FPS), '-v', url],
          // It refuses to run as root.
          { env: { PATH: process.env.PATH, HOME: shots }, ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}) },
        );
        await until('four pictures a second apart', async () => {
          const names = (await readdir(shots)).filter((name) => name.endsWith('.png'));
          const pictures = await Promise.all(names.map((name) => readFile(path.join(shots, name), 'base64')));
          return new Set(pictures.filter((picture) => picture !== '')).size > SHOWN;
        }, PATIENCE).catch((error: unknown) => {
          throw new Error(`${String(error)}: ${program?.stderr.slice(-2000)}`);
        });
        return `${SHOWN} s shown after ${((Date.now() - begun) / 1000).toFixed(1)} s`;
      };
      const close = async () => {
        await program?.stop('SIGKILL');
        await rm(folder, { recursive: true, force: true });
      };
      return { watch, close };
    },
  };
}

const players = [
  inBrowser('hls.js', 'HLS'), inBrowser('shaka', 'HLS'), inBrowser('shaka', 'DASH'), inBrowser('dash.js', 'DASH'),
  ffmpeg('HLS'), ffmpeg('DASH'), vlc('HLS'), vlc('DASH'),
];

describe.each([0, 2, 10])('%i s after going live', (seconds) => {
  const results = new Map<Player, Promise<string>>();
  const close: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    const prepared = await Promise.all(players.map(async (player) => ({ player, ...(await player.prepare()) })));
    close.push(...prepared.map((one) => one.close));
    const { rtmpUrl, streamKey } = await register(platform.web, `join${seconds}`);
    const encoder = encode(`${rtmpUrl}/${streamKey}`, { size: '320x180', fps: FPS, gop: 2 * FPS, bitrate: '300k' });
    close.push(() => encoder.stop());
    const stream = await until('the stream is listed', async () => {
      const [newest] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
      return newest;
    });
    await passed(seconds * 1000);
    for (const { player, watch } of prepared) {
      const result = watch(player.manifest === 'HLS' ? stream.streamUrl : stream.dashUrl);
      // Whoever failed says so in its own test.
      result.catch(() => {});
      results.set(player, result);
    }
  });

  afterAll(async () => {
    for (const end of close.reverse()) await end();
    await until('the stream is over', async () => {
      const streams = await api<Stream[]>(platform.web, 'GET', '/api/streams');
      return streams.length === 0;
    }, 60_000);
  });

  test.each(players)('$name plays $manifest', async (player) => {
    const result = await results.get(player);
    console.info(`${player.name} ${player.manifest}, joining after ${seconds} s: ${result}`);
    expect(result).toBeDefined();
  });
});
