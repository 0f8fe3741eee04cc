import { spawnSync } from 'node:child_process';
import { access, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { encode, gstreamer } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { source } from '../src/playlist.ts';
import { until, type Program } from '../src/process.ts';
import { workerProcess } from '../src/processes.ts';

let platform: Platform;
const encoders: Program[] = [];

beforeAll(async () => {
  platform = await Platform.start({ CAUDAL_LADDER: 'none' });
});

afterEach(async () => {
  for (const encoder of encoders.splice(0)) await encoder.stop();
});

afterAll(async () => {
  await platform?.stop();
});

const small = { size: '320x180', fps: 25, gop: 50, bitrate: '300k' };

function owned(encoder: Program): Program {
  encoders.push(encoder);
  return encoder;
}

function address({ rtmpUrl, streamKey }: Account): string {
  return `${rtmpUrl}/${streamKey}`;
}

/** The stream that is live under this name. */
function liveStream(username: string): Promise<Stream> {
  return until(`${username} is live`, async () => {
    const streams = await api<Stream[]>(platform.web, 'GET', '/api/streams');
    return streams.find((stream) => stream.user.username === username);
  });
}

/** Waits until the source playlist holds `count` finished segments after `msn`; gives the last one's number. */
function segmentsAfter(stream: Stream, msn: number, count: number): Promise<number> {
  return until(`${count} segments after ${msn}`, async () => {
    const finished = (await source(stream.streamUrl)).segments.filter((one) => !one.gap && one.msn > msn);
    return finished.length >= count && finished.at(-1)?.msn;
  });
}

function mediaFolder(stream: Stream): string {
  return path.join(platform.folder, 'media', 'live', stream.id);
}

/** Which worker claimed the stream's highest epoch. */
async function newestWorker(stream: Stream): Promise<string | undefined> {
  const folder = mediaFolder(stream);
  const epochs = (await readdir(folder)).flatMap((name) => /^state-(\d+)\.json$/.exec(name)?.[1] ?? []).map(Number);
  const state = await readFile(path.join(folder, `state-${Math.max(...epochs)}.json`), 'utf8');
  return (JSON.parse(state) as { worker: { worker: string } }).worker.worker;
}

function ended(stream: Stream): Promise<Stream> {
  return until('the api says that it ended', async () => {
    const now = await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`);
    return !now.isLive && now.endedAt !== null && now;
  }, 60_000);
}

test('GStreamer publishes, is decoded, and its farewell ends the stream long before a lost connection would', async () => {
  const account = await register(platform.web, fresh('gudrun'));
  const encoder = owned(gstreamer(address(account)));
  const stream = await liveStream(account.username).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${encoder.stderr}`);
  });
  await segmentsAfter(stream, 0, 3);
  const decoded = spawnSync(
    'ffmpeg',
    ['-v', 'error', '-nostdin', '-xerror', '-i', stream.streamUrl, '-map', '0:v', '-map', '0:a', '-t', '3', '-f', 'framemd5', '-'],
    { encoding: 'utf8', timeout: 40_000 },
  );
  expect(decoded.stderr).toBe('');
  const frames = decoded.stdout.split('\n').filter((line) => !line.startsWith('#'));
  expect(frames.filter((line) => line.startsWith('0,')).length).toBeGreaterThan(25);
  expect(frames.filter((line) => line.startsWith('1,')).length).toBeGreaterThan(25);
  const left = Date.now();
  // -e turns it into an end of stream: FCUnpublish and deleteStream.
  await encoder.stop('SIGINT');
  await ended(stream);
  expect(Date.now() - left).toBeLessThan(25_000);
});

test('a key that is rotated while live ends the stream, and opens nothing any more', async () => {
  const account = await register(platform.web, fresh('rosa'));
  const encoder = owned(encode(address(account), small));
  const stream = await liveStream(account.username);
  await segmentsAfter(stream, 0, 1);

  const { streamKey } = await api<{ streamKey: string }>(platform.web, 'POST', '/api/auth/stream-key/rotate', {
    token: account.accessToken,
    body: { password: account.password },
  });
  expect(streamKey).not.toBe(account.streamKey);
  expect(await encoder.exited()).not.toBe(0);
  expect(encoder.stderr).toContain('The stream key was changed');
  await ended(stream);
  expect((await source(stream.streamUrl)).ended).toBe(true);
  await platform.line('why it ended', (line) => line.stream === stream.id && /key/.test(String(line.message)));

  const refused = owned(encode(address(account), { ...small, seconds: 20 }));
  expect(await refused.exited()).not.toBe(0);
  expect(refused.stderr).toMatch(/key/i);
  expect(refused.stderr).not.toContain('already');

  owned(encode(address({ ...account, streamKey }), small));
  const again = await liveStream(account.username);
  expect(again.id).not.toBe(stream.id);
  await segmentsAfter(again, 0, 1);
});

test('a stream that costs every worker its life fails after the third, tells its publisher, and hurts no other', async () => {
  const [bystander, poison] = [await register(platform.web, fresh('bea')), await register(platform.web, fresh('pia'))];
  owned(encode(address(bystander), small));
  const other = await liveStream(bystander.username);
  const before = await segmentsAfter(other, 0, 1);

  const encoder = owned(encode(address(poison), small));
  const stream = await liveStream(poison.username);
  // A broadcast of which nothing was stored leaves no playlist that could be closed.
  const stored = path.join(mediaFolder(stream), 'source', 'index.m3u8');
  await until('its playlist is stored', () => access(stored).then(() => true, () => false));
  const killed = new Set<string>();
  const failed = await until('the stream has failed', async () => {
    const worker = await newestWorker(stream);
    const process = worker && !killed.has(worker) && encoder.running ? await workerProcess(worker) : undefined;
    if (worker && process) {
      killed.add(worker);
      globalThis.process.kill(process.pid, 'SIGKILL');
    }
    return platform.lines.find((line) => line.stream === stream.id && line.phase === 'Failed');
  }, 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${killed.size} killed, ${JSON.stringify(platform.lines.filter((line) => line.stream === stream.id))}`);
  });
  expect(String(failed.message)).toMatch(/kept failing/);
  // The worker that comes after them only to write the end may have been killed as well.
  expect(killed.size).toBeGreaterThanOrEqual(3);
  expect(killed.size).toBeLessThanOrEqual(4);
  expect(await encoder.exited()).not.toBe(0);
  expect(encoder.stderr).toContain('its workers kept failing');
  await ended(stream);
  await until('the playlist is closed', async () => (await source(stream.streamUrl)).ended);

  const after = await segmentsAfter(other, before, 3);
  const { segments, discontinuitySequence } = await source(other.streamUrl);
  expect(after).toBeGreaterThan(before);
  expect(discontinuitySequence + segments.filter((one) => one.discontinuity).length).toBe(0);
  // Epoch 1 still: nobody moved it.
  expect(segments.filter((one) => !one.gap).every((one) => one.uri.endsWith('-1.m4s'))).toBe(true);
});
