import { execFile, spawnSync } from 'node:child_process';
import { access, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { PLAYABLE, UNPLAYABLE, type Playable } from '../src/awkward-publishers.ts';
import { browse } from '../src/browser.ts';
import { clip, type Tag } from '../src/clip.ts';
import { encode, gstreamer } from '../src/encoder.ts';
import { servePlainPlayer } from '../src/plain-player.ts';
import { Platform } from '../src/platform.ts';
import { PlaylistRecord } from '../src/playlist-record.ts';
import { fetchText, parse, source } from '../src/playlist.ts';
import { until, type Program } from '../src/process.ts';
import { workerProcess } from '../src/processes.ts';
import { ScriptedPublisher } from '../src/scripted-publisher.ts';
import { Viewer } from '../src/viewer.ts';

const run = promisify(execFile);

let platform: Platform;
let browser: Awaited<ReturnType<typeof browse>>;
let player: Awaited<ReturnType<typeof servePlainPlayer>>;
const encoders: Program[] = [];
const scripts = new Map<string, Tag[]>();

beforeAll(async () => {
  // Encoding holds this process up, and with it every publisher that runs.
  for (const { name, tags } of [...PLAYABLE, ...UNPLAYABLE]) scripts.set(name, tags());
  platform = await Platform.start({ CAUDAL_LADDER: 'none' });
  player = await servePlainPlayer();
  browser = await browse();
}, 180_000);

afterEach(async () => {
  for (const encoder of encoders.splice(0)) await encoder.stop();
});

afterAll(async () => {
  await browser?.close();
  await player?.stop();
  await platform?.stop();
});

const small = { size: '320x180', fps: 25, gop: 50, bitrate: '300k' };

function scriptOf(name: string): Tag[] {
  const script = scripts.get(name);
  if (!script) throw new Error(`no script for ${name}`);
  return script;
}

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

/** The rendition's playlist once the stream is over: everything that a clip's publisher sent is still in it. */
async function closed(stream: Stream, rendition: string) {
  const url = new URL(`${rendition}/index.m3u8`, stream.streamUrl).href;
  return until(`${rendition} is closed`, async () => {
    const playlist = parse(await fetchText(url));
    return playlist.ended && playlist;
  });
}

/** What ffprobe decodes of a rendition. */
async function decoded(stream: Stream, rendition: string): Promise<{ frames: number; complaints: string }> {
  const url = new URL(`${rendition}/index.m3u8`, stream.streamUrl).href;
  const { stdout, stderr } = await run(
    'ffprobe',
    ['-v', 'error', '-count_frames', '-select_streams', '0', '-show_entries', 'stream=nb_read_frames', '-of', 'csv=p=0', url],
    { timeout: 40_000 },
  );
  return { frames: Number(/\d+/.exec(stdout)?.[0] ?? 0), complaints: stderr };
}

/** The mean loudness of the sound, in dB; silence has -91. */
async function loudness(stream: Stream): Promise<number> {
  const url = new URL('audio/index.m3u8', stream.streamUrl).href;
  const { stderr } = await run('ffmpeg', ['-hide_banner', '-nostdin', '-i', url, '-af', 'volumedetect', '-f', 'null', '-'], {
    timeout: 40_000,
  });
  return Number(/mean_volume: (-?[\d.]+) dB/.exec(stderr)?.[1]);
}

const somebody = () => register(platform.web, fresh('awkward'));

async function plays({ name, breaks = 0, gaps = 0, pictures, sound = 'heard', browser: strict = false }: Playable) {
  const account = await somebody();
  const script = scriptOf(name);
  const publisher = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, script);
  let record: PlaylistRecord | undefined;
  let viewer: Viewer | undefined;
  try {
    const stream = await liveStream(account.username).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${publisher.heard.replace(/[^ -~]+/g, ' ')}`);
    });
    record = new PlaylistRecord(new URL('source/index.m3u8', stream.streamUrl).href);
    if (strict) {
      viewer = await Viewer.open(await browser.browser.newPage(), `${player.url}/?${encodeURIComponent(stream.streamUrl)}`);
      await viewer.watches(pictures === undefined ? 50 : 3);
    }
    await publisher.done;
    if (viewer) {
      // No decoder has given up.
      expect(await viewer.page.evaluate(() => (globalThis as unknown as { fatal: string[] }).fatal)).toEqual([]);
      expect(viewer.problems).toEqual([]);
    }
    await publisher.stop();
    await ended(stream);
    const video = await closed(stream, 'source');
    await record.stop();
    expect(record.broken).toEqual([]);
    expect(record.discontinuities).toBe(breaks);
    expect(record.gaps).toBeLessThanOrEqual(gaps);
    for (const { duration, gap } of video.segments) if (!gap) expect(Math.floor(duration * 10) / 10).toBeLessThanOrEqual(video.targetDuration + 0.4);
    const { frames, complaints } = await decoded(stream, 'source');
    if (gaps === 0) expect(complaints).toBe('');
    const sent = script.filter(({ kind, body }) => kind === 'video' && body.length > 60).length;
    expect(frames).toBeGreaterThanOrEqual(pictures ?? Math.floor((sent * 19) / 20));
    await closed(stream, 'audio');
    if (sound === 'heard') expect(await loudness(stream)).toBeGreaterThan(-60);
    else expect(await loudness(stream)).toBeLessThan(-80);
  } finally {
    await record?.stop();
    await viewer?.page.close();
    await publisher.vanish();
  }
}

test.each(PLAYABLE.filter(({ browser: strict }) => strict))('$name', plays, 120_000);
test.concurrent.each(PLAYABLE.filter(({ browser: strict }) => !strict))('$name', plays, 120_000);

test.each([250, 105])('GOPs of %i pictures are cut below the target duration', async (gop) => {
  const account = await somebody();
  const publisher = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, clip({ seconds: 24, gop }));
  const stream = await liveStream(account.username);
  await publisher.done;
  await publisher.stop();
  await ended(stream);
  const { segments, targetDuration } = await closed(stream, 'source');
  for (const { duration, gap } of segments) if (!gap) expect(duration).toBeLessThanOrEqual(targetDuration + 0.01);
});

test('media that comes much faster than it plays is taken no further than some seconds ahead', async () => {
  const account = await somebody();
  const hasty = clip({ seconds: 45 }).map((tag) => ({ ...tag, at: tag.at / 90 }));
  const publisher = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, hasty);
  const stream = await liveStream(account.username);
  await publisher.done;
  const { text, segments } = await source(stream.streamUrl);
  const dates = [...text.matchAll(/^#EXT-X-PROGRAM-DATE-TIME:(.+)$/gm)].map(([, date]) => Date.parse(date ?? ''));
  expect(dates.length).toBeGreaterThan(0);
  const shown = segments.reduce((sum, { duration, gap }) => sum + (gap ? 0 : duration), 0);
  expect(shown).toBeLessThan(25);
  expect(Math.max(...dates) - Date.now()).toBeLessThan(21_000);
  await publisher.stop();
});

test('an encoder that is stopped and started within three seconds begins at zero, and one discontinuity later goes on', async () => {
  const account = await somebody();
  const first = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, clip({ seconds: 8 }));
  const stream = await liveStream(account.username);
  await first.done;
  await first.vanish();
  const second = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, clip({ seconds: 8 }));
  await second.done;
  await second.stop();
  await ended(stream);
  const { segments, discontinuitySequence } = await closed(stream, 'source');
  expect(discontinuitySequence + segments.filter(({ discontinuity }) => discontinuity).length).toBe(1);
  const { frames, complaints } = await decoded(stream, 'source');
  expect(complaints).toBe('');
  expect(frames).toBeGreaterThan(380);
});

test('blanks and a line end around a key that was pasted are nobody’s guess', async () => {
  const account = await somebody();
  const publisher = await ScriptedPublisher.start(account.rtmpUrl, ` ${account.streamKey}\r\n`, clip({ seconds: 8 }));
  await liveStream(account.username);
  await publisher.stop();
});

test.concurrent.each(UNPLAYABLE)('$name: the publisher and the studio are told why', async ({ name, told }) => {
  const account = await somebody();
  const publisher = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, scriptOf(name));
  try {
    await until('the publisher is sent away', () => publisher.closed, 60_000);
    expect(publisher.heard).toMatch(told);
    expect(publisher.heard).toContain('NetStream.Publish.Rejected');
    // Whoever is turned away may come back with something better for 30 s.
    const failed = await until('the studio knows why', async () => {
      const last = await api<{ reason: string }[]>(platform.web, 'GET', '/api/streams/failed', { token: account.accessToken });
      return last[0];
    }, 60_000);
    expect(failed.reason).toMatch(told);
  } finally {
    await publisher.vanish();
  }
});

test('an encoder that sends its description alone fails, and the studio says that nothing came', async () => {
  const account = await somebody();
  const description = clip({ seconds: 1 }).filter(({ kind }) => kind === 'data');
  let publisher = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, description);
  await until('the publisher is sent away', () => publisher.closed, 40_000);
  expect(publisher.heard).toContain('No audio or video arrived');
  // It tries again by itself.
  publisher = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, description);
  const failed = await until('the studio knows why', async () => {
    const last = await api<{ reason: string }[]>(platform.web, 'GET', '/api/streams/failed', { token: account.accessToken });
    return last[0];
  }, 80_000);
  expect(failed.reason).toBe('what was sent cannot be played: neither pictures nor sound came');
  await publisher.vanish();
}, 150_000);

test('an encoder that still answers and sends no media for a minute has gone', async () => {
  const account = await somebody();
  const tags = clip({ seconds: 6 });
  // It describes its stream again and again, so that the connection itself is alive.
  const again = Array.from({ length: 12 }, (_, n) => ({ at: 10_000 * (n + 1), stamp: 10_000 * (n + 1) }));
  const described = tags.filter(({ kind }) => kind === 'data').slice(0, 1);
  const publisher = await ScriptedPublisher.start(account.rtmpUrl, account.streamKey, [
    ...tags,
    ...again.flatMap((when) => described.map((tag) => ({ ...tag, ...when }))),
  ]);
  const stream = await liveStream(account.username);
  await until('the publisher is sent away', () => publisher.closed, 90_000);
  expect(publisher.heard).toContain('No audio or video arrived');
  await ended(stream);
}, 180_000);
