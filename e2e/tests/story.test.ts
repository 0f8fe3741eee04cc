import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, type Stream } from '../src/account.ts';
import { browse, newWindow, type Browser } from '../src/browser.ts';
import { connections } from '../src/connection.ts';
import { DroppingEncoder } from '../src/dropping-encoder.ts';
import { servePlainPlayer } from '../src/plain-player.ts';
import { Platform } from '../src/platform.ts';
import { PlaylistRecord } from '../src/playlist-record.ts';
import { until } from '../src/process.ts';
import { processesNaming, workerProcess } from '../src/processes.ts';
import { Streamer, type Credentials } from '../src/streamer.ts';
import { outlive, Viewer } from '../src/viewer.ts';

const SETTINGS = { CAUDAL_LADDER: '360p' };

/** The story of one broadcast, as its streamer and two viewers live it: each test goes on where the last one stopped. */
describe('a broadcast, from signing up to its end', () => {
  const closing: (() => Promise<unknown>)[] = [];
  /** Every version of the playlists that viewers could have read. */
  const records: Record<'source' | 'audio', PlaylistRecord | undefined> = { source: undefined, audio: undefined };
  let platform: Platform;
  let browser: Browser;
  let plainPlayer: string;
  let streamer: Streamer;
  let account: Credentials;
  let encoder: DroppingEncoder;
  let stream: Stream;
  let ours: Viewer;
  let plain: Viewer;
  /** Those in each playlist, as the last step left them: a step that fails leaves the next ones their own count. */
  let discontinuities = [0, 0];

  beforeAll(async () => {
    // One cheap rung: a machine that cannot keep up takes the top rung away for a while, which is another story.
    platform = await Platform.start(SETTINGS);
    closing.push(() => platform.stop());
    const chromium = await browse();
    browser = chromium.browser;
    closing.push(chromium.close);
    const player = await servePlainPlayer();
    closing.push(() => player.stop());
    plainPlayer = player.url;
  });

  afterAll(async () => {
    for (const record of Object.values(records)) await record?.stop();
    await encoder?.stop('SIGKILL');
    for (const close of closing.reverse()) await close();
  });

  function publish(): void {
    encoder = new DroppingEncoder(`${account.server}/${account.key}`);
  }

  /**
   * Lets something happen, waits until both viewers watch again, and holds what the playlists have promised: one discontinuity
   * for each new timeline. Gives the seconds that the picture stood still, of both viewers.
   */
  async function viewersOutlive(what: string, happening: () => Promise<unknown>, timelines = 0): Promise<number[]> {
    const before = countDiscontinuities();
    const still = await outlive([ours, plain], what, happening, 90);
    expect(records.source?.broken).toEqual([]);
    expect(records.audio?.broken).toEqual([]);
    await until('our page is near to now again', () =>
      ours.page.evaluate(() => window.__caudal?.status === 'playing' && (window.__caudal.latencyMs() ?? 1e6) < 4000),
    );
    discontinuities = countDiscontinuities();
    expect(discontinuities).toEqual(before.map((count) => count + timelines));
    return still;
  }

  function countDiscontinuities(): number[] {
    return [records.source, records.audio].map((record) => record?.discontinuities ?? 0);
  }

  test('she signs up and finds what OBS asks for', async () => {
    streamer = new Streamer(await newWindow(browser), platform.web);
    await streamer.signUp('marea');
    expect(await streamer.opensStudio()).toMatch(/^•+$/);
    account = await streamer.reveals();
    expect(new URL(account.server).host).toBe(new URL(platform.rtmp).host);
  });

  test('she goes live, and her studio shows it', async () => {
    publish();
    await streamer.isLive();
    await streamer.page.waitForFunction(() => document.body.textContent?.includes('720'));
    const [listed] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
    if (!listed) throw new Error('she is not listed');
    stream = listed;
    for (const name of ['source', 'audio'] as const) {
      records[name] = new PlaylistRecord(new URL(`${name}/index.m3u8`, stream.streamUrl).href);
    }
  });

  test('two people watch: one on our page, one with hls.js at its defaults', async () => {
    ours = await Viewer.open(await newWindow(browser), `${platform.web}/watch/${stream.id}`);
    plain = await Viewer.open(await newWindow(browser), `${plainPlayer}/?${encodeURIComponent(stream.streamUrl)}`);
    await Promise.all([ours.watches(90), plain.watches(90)]);
    await until('our page says that it plays', () => ours.page.evaluate(() => window.__caudal?.status === 'playing'));
  });

  test('a quality that is chosen is shown', async () => {
    await until('several qualities', () => ours.page.evaluate(() => (window.__caudal?.levels.length ?? 0) > 1));
    const choose = (height: number) =>
      until(`${height} lines`, async () => {
        if ((await ours.see()).height === height) return true;
        // The controls go away by themselves, and a slow machine may be late for them: then once more.
        await ours.page.bringToFront();
        await (await ours.page.$('video'))?.hover();
        if ((await ours.page.$('.opener[aria-expanded="true"]')) === null) await ours.page.click('.opener');
        for (const item of await ours.page.$$('[role="menuitemradio"]')) {
          if ((await item.evaluate((one) => one.textContent?.trim())) === `${height}p`) await item.click();
        }
        await ours.watches(60);
        return (await ours.see()).height === height;
        // A machine that cannot keep up takes the rung away and tries it again half a minute later.
      }, 70_000);
    await viewersOutlive('a lower quality', () => choose(360));
    await viewersOutlive('a higher quality', () => choose(720));
  }, 240_000);

  test.each([10, 25])('she is away for %d seconds, and it goes on', async (seconds) => {
    await viewersOutlive(`away for ${seconds} s`, async () => {
      const left = Date.now();
      await encoder.stop('SIGKILL');
      await until('our page says so', () => ours.page.evaluate(() => window.__caudal?.status === 'reconnecting'));
      await until(`${seconds} seconds`, () => Date.now() - left >= seconds * 1000, seconds * 1000 + 5000);
      publish();
    }, 1);
  });

  test.each([
    ['video', 0.5],
    ['everything', 0.5],
    ['video', 1],
    ['everything', 1],
    ['video', 2.5],
    ['everything', 2.5],
  ] as const)('her encoder drops %s for %d s: the picture stands still, and no discontinuity is made of it', async (what, seconds) => {
    const still = await viewersOutlive(`${what} dropped for ${seconds} s`, () => encoder.drop(what, seconds));
    // hls.js at its defaults waits 3 s before it leaves a place where a picture lasts long.
    expect(Math.max(0, ...still)).toBeLessThan(seconds + 5);
    expect(records.audio?.gaps).toBe(0);
  });

  test('her worker is killed, and her connection does not notice', async () => {
    const port = Number(new URL(account.server).port);
    const before = await connections(encoder.pid, port);
    expect(before).toHaveLength(1);
    const still = await viewersOutlive('worker killed', async () => {
      const worker = platform.lines.findLast((line) => line.stream === stream.id && !!line.worker)?.worker;
      const victim = await workerProcess(String(worker));
      if (!victim) throw new Error('no such worker');
      const last = records.source?.lastMsn ?? 0;
      process.kill(victim.pid, 'SIGKILL');
      await until('three segments by its successor', () => (records.source?.lastMsn ?? 0) > last + 3);
    });
    // A short hitch, if any: half a minute of it is a player that went through the whole window again.
    expect(Math.max(0, ...still)).toBeLessThan(5);
    expect(encoder.running).toBe(true);
    expect(await connections(encoder.pid, port)).toEqual(before);
  });

  test('the whole platform is killed and started again, and it goes on', async () => {
    await viewersOutlive('platform killed', async () => {
      await platform.crash();
      expect(await encoder.exited()).not.toBe(0);
      await encoder.stop();
      await until('nothing of it is left', async () => (await processesNaming(platform.folder)).length === 0);
      await platform.restart(SETTINGS);
      publish();
      const last = records.source?.lastMsn ?? 0;
      await until('a segment of the new timeline', () => (records.source?.lastMsn ?? 0) > last + 1);
    }, 1);
  });

  test('she ends it in her studio', async () => {
    await streamer.ends(() => !encoder.running);
    expect(await encoder.exited()).not.toBe(0);
  });

  test('everybody learns so once', async () => {
    await until('our page says so', () => ours.page.evaluate(() => window.__caudal?.status === 'ended'));
    await plain.seesItsEnd();
    await until('both playlists are closed', () => records.source?.last?.ended && records.audio?.last?.ended);
    expect((await plain.see()).ended).toBeLessThanOrEqual(1);
    expect((await ours.see()).ended).toBeLessThanOrEqual(1);
    expect(await ours.page.$$eval('.ended', (overlays) => overlays.length)).toBe(1);
    expect([...ours.problems, ...plain.problems]).toEqual([]);
    expect(countDiscontinuities()).toEqual(discontinuities);
    const { isLive, endedAt } = await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`);
    expect(isLive).toBe(false);
    expect(endedAt).not.toBeNull();
    expect(platform.lines.filter((line) => line.stream === stream.id && line.phase === 'Ended')).toHaveLength(1);
  });
});
