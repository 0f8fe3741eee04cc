import { afterEach, describe, expect, test } from 'vitest';

import { api, register, type Stream } from '../src/account.ts';
import { browse, playhead } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { fetchText, parse, source } from '../src/playlist.ts';
import { until, type Program } from '../src/process.ts';
import { processesNaming, workerProcess } from '../src/processes.ts';

const running: { stop: () => Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

function owned<T extends { stop: () => Promise<unknown> }>(one: T): T {
  running.push(one);
  return one;
}

async function live(platform: Platform, url: string): Promise<{ encoder: Program; stream: Stream }> {
  const encoder = owned(encode(url));
  const stream = await until('the stream is listed', async () => {
    const [first] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
    return first;
  });
  return { encoder, stream };
}

/** Waits until the source playlist holds `count` finished segments after `msn`. */
function segmentsAfter(stream: Stream, msn: number, count: number) {
  return until(`${count} segments after ${msn}`, async () => {
    const playlist = await source(stream.streamUrl);
    return playlist.segments.filter((one) => !one.gap && one.msn > msn).length >= count && playlist;
  });
}

/** What was announced before the worker died is announced still, and can be had. */
async function everythingListedIsThere(stream: Stream) {
  for (const rendition of ['source', 'audio']) {
    const url = new URL(`${rendition}/index.m3u8`, stream.streamUrl).href;
    const playlist = parse(await fetchText(url));
    const firstMedia = playlist.segments.findIndex((one) => !one.gap);
    const media = playlist.segments.slice(firstMedia);
    expect(media.filter((one) => one.gap), `${rendition} has no gaps but the preroll`).toEqual([]);
    for (const { uri } of media) {
      const { status } = await fetch(new URL(uri, url));
      expect(status, `${rendition} ${uri}`).toBe(200);
    }
  }
}

describe('a broadcast goes on', () => {
  test('when its worker is killed: same sequence, and neither encoder nor viewer is dropped', async () => {
    const platform = owned(await Platform.start());
    const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
    const { encoder, stream } = await live(platform, `${rtmpUrl}/${streamKey}`);
    const { browser, close } = await browse();
    running.push({ stop: close });
    const page = await browser.newPage();
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await until('the first picture', () => playhead(page));
    const before = await segmentsAfter(stream, 0, 3);
    const last = before.segments.at(-1)?.msn ?? 0;

    const { worker } = await platform.line('which worker it has', (line) => line.stream === stream.id && !!line.worker);
    const process = await workerProcess(String(worker));
    if (!process) throw new Error('no such worker');
    globalThis.process.kill(process.pid, 'SIGKILL');

    const after = await segmentsAfter(stream, last, 3);
    expect(after.mediaSequence).toBeGreaterThanOrEqual(before.mediaSequence);
    expect(after.targetDuration).toBe(before.targetDuration);
    expect(after.partTarget).toBe(before.partTarget);
    expect(encoder.running).toBe(true);
    await everythingListedIsThere(stream);
    const seen = await playhead(page);
    await until('the viewer goes on', async () => ((await playhead(page))?.time ?? 0) > (seen?.time ?? 0) + 3);
  });

  test('when its encoder is cut off and comes back within the window', async () => {
    const platform = owned(await Platform.start({ CAUDAL_LADDER: 'none' }));
    const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
    const first = await live(platform, `${rtmpUrl}/${streamKey}`);
    const before = await segmentsAfter(first.stream, 0, 2);
    await first.encoder.stop('SIGKILL');
    await platform.line('the wait for it', (line) => line.phase === 'Reconnecting');

    const second = await live(platform, `${rtmpUrl}/${streamKey}`);
    expect(second.stream.id).toBe(first.stream.id);
    const after = await segmentsAfter(first.stream, before.segments.at(-1)?.msn ?? 0, 3);
    expect(after.segments.filter((one) => one.discontinuity).length + after.discontinuitySequence).toBe(1);
    expect(after.ended).toBe(false);
  });

  test('and ends when it does not come back', async () => {
    const platform = owned(await Platform.start({ CAUDAL_LADDER: 'none', CAUDAL_RECONNECT_WINDOW: '2s' }));
    const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
    const { encoder, stream } = await live(platform, `${rtmpUrl}/${streamKey}`);
    await segmentsAfter(stream, 0, 1);
    await encoder.stop('SIGKILL');
    await until('the end', async () => {
      const { endedAt, isLive } = await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`);
      return endedAt && !isLive;
    });
    expect((await source(stream.streamUrl)).ended).toBe(true);
  });

  test('after kill -9 of the whole platform, with the same address and the same sequence', async () => {
    const platform = owned(await Platform.start({ CAUDAL_LADDER: 'none' }));
    const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
    const { encoder, stream } = await live(platform, `${rtmpUrl}/${streamKey}`);
    const before = await segmentsAfter(stream, 0, 3);
    await platform.crash();
    await encoder.stop('SIGKILL');
    await until('nothing of it is left running', async () => (await processesNaming(platform.folder)).length === 0);

    await platform.restart({ CAUDAL_LADDER: 'none' });
    owned(encode(`${rtmpUrl}/${streamKey}`));
    const after = await segmentsAfter(stream, before.segments.at(-1)?.msn ?? 0, 2);
    expect(after.mediaSequence).toBeGreaterThanOrEqual(before.mediaSequence);
  });
});

test('Ctrl-C ends the streams in order, and leaves nothing behind', async () => {
  const platform = owned(await Platform.start());
  const { rtmpUrl, streamKey } = await register(platform.web, 'ana');
  const { stream } = await live(platform, `${rtmpUrl}/${streamKey}`);
  await segmentsAfter(stream, 0, 1);
  expect(await platform.interrupt()).toBe(0);
  expect(await processesNaming(platform.folder)).toEqual([]);
  expect(platform.lines).toContainEqual({ event: 'progress', what: 'Ending streams' });
  await platform.line('the platform says that it has stopped', ({ event }) => event === 'stopped');
  await platform.restart();
  const { endedAt, isLive } = await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`);
  expect(isLive).toBe(false);
  expect(endedAt).not.toBeNull();
});
