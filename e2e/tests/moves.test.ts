import { createInterface } from 'node:readline';

import { afterEach, describe, expect, test } from 'vitest';

import { api, register, type Stream } from '../src/account.ts';
import { browse, playhead, type Page } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { LlHlsReader } from '../src/ll-hls-reader.ts';
import { Platform } from '../src/platform.ts';
import { source } from '../src/playlist.ts';
import { Program, until } from '../src/process.ts';
import { childrenOf } from '../src/processes.ts';

const running: { stop: () => Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

function owned<T extends { stop: () => Promise<unknown> }>(one: T): T {
  running.push(one);
  return one;
}

/** A broadcast that a browser watches: a keyframe each second, so that a move waits no longer than that. */
async function watched(ladder: string) {
  const platform = owned(await Platform.start({ CAUDAL_LADDER: ladder }));
  const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
  const encoder = owned(encode(`${rtmpUrl}/${streamKey}`, { size: '640x360', gop: 30, bitrate: '800k' }));
  const stream = await until('the stream is listed', async () => {
    const [first] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
    return first;
  });
  const { browser, close } = await browse();
  running.push({ stop: close });
  const page = await browser.newPage();
  await page.goto(`${platform.web}/watch/${stream.id}`);
  await until('the picture moves', async () => ((await playhead(page))?.time ?? 0) > 0);
  // Players settle behind the live edge first.
  await advances(page, 5);
  await page.evaluate(() => {
    const waits: number[] = [];
    Object.assign(window, { waits });
    document.querySelector('video')?.addEventListener('waiting', () => waits.push(Date.now()));
  });
  const reader = owned(new LlHlsReader(stream.streamUrl));
  return { platform, encoder, stream, page, reader };
}

/** Who watches a broadcast: in a browser, and without one. */
type Audience = Pick<Awaited<ReturnType<typeof watched>>, 'page' | 'reader'>;

/**
 * The picture has not stood still for want of media since it had settled. Encoder, platform and browser share two
 * processors here, and the browser gets what the others leave: where a reader without a screen had all parts in time, a
 * picture that stood still is the browser's own, which happens as often without a move.
 */
async function neverRanDry({ page, reader }: Audience, why: () => string) {
  const waits = await page.evaluate(() => (window as unknown as { waits: number[] }).waits);
  const late = waits.map((at) => reader.lateness(at - LOOKED_AT_MS, at + LOOKED_AT_MS));
  expect(late.filter((by) => by > RESERVE_MS), `parts were so many ms late when the picture stood still\n${why()}`).toEqual([]);
  expect(reader.troubles).toEqual([]);
}

/** A part that is later than this empties the player's buffer, which holds a little more at its lowest. */
const RESERVE_MS = 150;
const LOOKED_AT_MS = 1500;

async function advances(page: Page, seconds: number) {
  const from = (await playhead(page))?.time ?? 0;
  await until(`the picture goes on for ${seconds} s`, async () => ((await playhead(page))?.time ?? 0) > from + seconds);
}

interface Told {
  status: number | null;
  said: string;
}

/** `caudal admin move`, on its way. */
function move(platform: Platform, stream: Stream): { program: Program; told: Promise<Told> } {
  const program = new Program(process.env.CAUDAL_BIN ?? '', ['admin', 'move', stream.id], {
    env: { PATH: process.env.PATH, CAUDAL_DATA_DIR: platform.folder },
  });
  const lines: string[] = [];
  if (program.child.stdout) createInterface({ input: program.child.stdout }).on('line', (line) => lines.push(line));
  const told = program.exited().then(async (status) => {
    await new Promise((resolve) => setImmediate(resolve));
    return { status, said: lines.join('\n') + program.stderr };
  });
  return { program, told };
}

/** The worker that has the only stream, and the warm one, which is claimed next: it is the younger of the two. */
function workers(platform: Platform): Promise<{ serving: number; next: number }> {
  return until('a serving and a warm worker', async () => {
    const children = await childrenOf(platform.pid);
    const pids = children.filter((one) => one.command.includes('transcoder-worker')).map((one) => one.pid);
    const [serving, next] = pids.sort((a, b) => a - b);
    return pids.length === 2 && serving !== undefined && next !== undefined && { serving, next };
  });
}

/** No playlist ever says that anything happened. */
async function nothingIsSeen(stream: Stream, from: number): Promise<number> {
  const playlist = await source(stream.streamUrl);
  expect(playlist.mediaSequence).toBeGreaterThanOrEqual(from);
  expect(playlist.discontinuitySequence).toBe(0);
  expect(playlist.text).not.toContain('#EXT-X-DISCONTINUITY\n');
  expect(playlist.segments.filter((one) => one.gap && one.msn >= 8), 'no hole').toEqual([]);
  expect(playlist.ended).toBe(false);
  return playlist.mediaSequence;
}

/** The old worker of a move that was quicker has gone by itself. */
function kill(pid: number) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a live stream moves to another worker', () => {
  test('twenty times in a row, and the viewer sees nothing of it', async () => {
    const { platform, encoder, stream, page, reader } = await watched('none');
    let sequence = 0;
    const taken = new Set<string>();
    for (let count = 1; count <= 20; count += 1) {
      const { told } = move(platform, stream);
      const { status, said } = await told;
      expect(status, `move ${count}: ${said}\n${platform.log}`).toBe(0);
      const words = new RegExp(`Moved stream ${stream.id} from worker (\\S+) to worker (\\S+), epoch (\\d+), in`).exec(said);
      expect(words, said).not.toBeNull();
      taken.add(words?.[2] ?? '');
      sequence = await nothingIsSeen(stream, sequence);
    }
    expect(taken.size).toBe(20);
    await advances(page, 3);
    await nothingIsSeen(stream, sequence);
    expect(encoder.running).toBe(true);
    await neverRanDry({ page, reader }, () => platform.log);
  }, 180_000);

  test('with a quality below the source, and the viewer sees nothing of it', async () => {
    const platform = owned(await Platform.start({ CAUDAL_LADDER: '360p' }));
    const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
    owned(encode(`${rtmpUrl}/${streamKey}`, { size: '854x480', gop: 30, bitrate: '1000k' }));
    const stream = await until('the stream is listed', async () => {
      const [first] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
      return first;
    });
    const rung = new URL('360p/index.m3u8', stream.streamUrl).href;
    const segments = async () => {
      const response = await fetch(rung);
      return response.ok ? (await response.text()).split('\n').filter((line) => line.endsWith('.m4s')).length : 0;
    };
    await until('the rung', async () => (await segments()) > 3);
    for (let count = 1; count <= 3; count += 1) {
      const { status, said } = await move(platform, stream).told;
      expect(status, said).toBe(0);
    }
    await until('the rung goes on', async () => {
      const playlist = await (await fetch(rung)).text();
      return /\d+-4\.m4s/.test(playlist);
    });
    const playlist = await (await fetch(rung)).text();
    expect(playlist).not.toContain('#EXT-X-DISCONTINUITY\n');
    expect(playlist.slice(playlist.indexOf('-1.m4s'))).not.toContain('#EXT-X-GAP');
  });

  test('with sound alone, and the listener hears nothing of it', async () => {
    const platform = owned(await Platform.start({ CAUDAL_LADDER: 'none' }));
    const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
    const input = ['-re', '-f', 'lavfi', '-i', 'sine=sample_rate=48000', '-c:a', 'aac', '-b:a', '96k'];
    owned(new Program('ffmpeg', ['-v', 'error', '-nostdin', ...input, '-f', 'flv', `${rtmpUrl}/${streamKey}`]));
    const stream = await until('the stream is listed', async () => {
      const [first] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
      return first;
    });
    const playlist = async () => {
      const response = await fetch(new URL('audio/index.m3u8', stream.streamUrl));
      return response.ok ? await response.text() : '';
    };
    for (let count = 1; count <= 3; count += 1) {
      await until('a segment of this worker', async () => new RegExp(`\\d+-${count}\\.m4s`).test(await playlist()));
      const { status, said } = await move(platform, stream).told;
      expect(status, said).toBe(0);
    }
    await until('the last one goes on', async () => /\d+-4\.m4s/.test(await playlist()));
    const text = await playlist();
    expect(text).not.toContain('#EXT-X-DISCONTINUITY\n');
    expect(text.slice(text.indexOf('-1.m4s'))).not.toContain('#EXT-X-GAP');
  });

  test('and survives the death of either worker at any moment of it', async () => {
    const { platform, encoder, stream, page } = await watched('none');
    let sequence = 0;
    const goesOn = async (what: string) => {
      await advances(page, 2);
      const playlist = await source(stream.streamUrl);
      expect(playlist.ended, what).toBe(false);
      expect(playlist.mediaSequence, what).toBeGreaterThanOrEqual(sequence);
      sequence = playlist.mediaSequence;
      expect(encoder.running, what).toBe(true);
    };
    for (let moment = 0; moment < 10; moment += 1) {
      const delay = moment * 100;
      // The next one, which has nothing to lose before the switch.
      let { serving, next } = await workers(platform);
      const first = move(platform, stream);
      await pause(delay);
      kill(next);
      let { status, said } = await first.told;
      await goesOn(`the next worker was killed ${delay} ms into the move: ${status} ${said}`);

      // A worker that dies within ten seconds of taking the publisher may have died of it: that is another test's matter.
      await pause(10_500);
      ({ serving, next } = await workers(platform));
      const second = move(platform, stream);
      await pause(delay);
      kill(serving);
      ({ status, said } = await second.told);
      await goesOn(`the old worker was killed ${delay} ms into the move: ${status} ${said}`);
    }
  }, 420_000);

  test('when its worker is told to go, and the viewer sees nothing of it', async () => {
    const { platform, stream, page, reader } = await watched('none');
    const { serving } = await workers(platform);
    process.kill(serving, 'SIGTERM');
    await until('the old one has gone', async () => !(await childrenOf(platform.pid)).some((one) => one.pid === serving));
    await advances(page, 3);
    await nothingIsSeen(stream, 0);
    await neverRanDry({ page, reader }, () => platform.log);
  });
});

test('a move that cannot be made says why, and its exit status too', async () => {
  const platform = owned(await Platform.start({ CAUDAL_LADDER: 'none' }));
  const { status, said } = await move(platform, { id: '0198f1f2-0000-7000-8000-000000000000' } as Stream).told;
  expect(status).toBe(1);
  expect(said).toContain('it is not on the air here');
});
