import { readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { api, register, type Account, type Stream } from '../src/account.ts';
import { encode } from '../src/encoder.ts';
import { LlHlsReader } from '../src/ll-hls-reader.ts';
import { Platform } from '../src/platform.ts';
import { fetchText, parse } from '../src/playlist.ts';
import { until, type Program } from '../src/process.ts';
import { childrenOf, workerProcess } from '../src/processes.ts';
import { RtmpPeer } from '../src/rtmp-peer.ts';
import { Slowness } from '../src/slowness.ts';
import { SmallDisk } from '../src/small-disk.ts';

// One stream with one viewer lives through all of it.
describe('a running stream and its viewer go on', () => {
  let disk: SmallDisk | undefined;
  let platform: Platform;
  let ana: Account;
  let bo: Account;
  let encoder: Program;
  let stream: Stream;
  let viewer: LlHlsReader;

  beforeAll(async () => {
    if (SmallDisk.possible) disk = await SmallDisk.mount(48);
    platform = await Platform.start({
      CAUDAL_LADDER: '360p',
      CAUDAL_RECONNECT_WINDOW: '2s',
      ...(disk ? { HLS_PATH: disk.folder } : {}),
    });
    ana = await register(platform.web, 'ana');
    bo = await register(platform.web, 'bob');
    encoder = publish(ana);
    stream = await listed('ana');
    viewer = new LlHlsReader(stream.streamUrl);
    await until('the first segments', () => viewer.msn >= 9);
  });

  afterAll(async () => {
    await viewer?.stop();
    await encoder?.stop();
    await platform?.stop();
    await disk?.unmount();
  });

  afterEach(async () => {
    await disk?.free();
    expect(viewer.troubles).toEqual([]);
    expect(encoder.running).toBe(true);
  });

  function publish(account: Account): Program {
    return encode(`${account.rtmpUrl}/${account.streamKey}`, { size: '640x480', fps: 25, gop: 50, bitrate: '500k' });
  }

  function listed(username: string): Promise<Stream> {
    return until(`${username}'s stream is listed`, async () => {
      const streams = await api<Stream[]>(platform.web, 'GET', '/api/streams');
      return streams.find((one) => one.user.username === username);
    });
  }

  /** More segments, and every part of them. */
  async function goesOn(segments = 3): Promise<void> {
    const { msn, parts } = viewer;
    await until(`the viewer gets ${segments} segments more`, () => viewer.msn >= msn + segments);
    expect(viewer.parts).toBeGreaterThanOrEqual(parts + segments);
  }

  /** Something that the platform says from now on. */
  function says(words: string): () => Promise<unknown> {
    const count = () => platform.log.split(words).length;
    const before = count();
    return () => until(`the log says: ${words}`, () => count() > before, 60_000);
  }

  async function storedSegments(): Promise<string[]> {
    if (!disk) return [];
    const files = await readdir(path.join(disk.folder, 'live', stream.id, 'source')).catch(() => []);
    return files.filter((file) => file.endsWith('.m4s'));
  }

  /** Segments are stored again, new ones. */
  async function isStoredAgain(): Promise<void> {
    const newest = async () => Math.max(0, ...(await storedSegments()).map((file) => Number.parseInt(file)));
    const before = Math.max(viewer.msn, await newest());
    await until('new segments are stored', async () => (await newest()) > before);
  }

  test.skipIf(!SmallDisk.possible)('while the disk is full, and what is made afterwards is stored again', async () => {
    const [fails, works] = [says('storage fails'), says('storage works again')];
    await disk?.fill();
    await fails();
    await goesOn();
    await disk?.free();
    await works();
    await isStoredAgain();
  });

  test.skipIf(!SmallDisk.possible)('while the storage cannot be written to', async () => {
    const [fails, works] = [says('storage fails'), says('storage works again')];
    disk?.allow('ro');
    try {
      await fails();
      await goesOn();
    } finally {
      disk?.allow('rw');
    }
    await works();
    await isStoredAgain();
  });

  test.skipIf(!SmallDisk.possible)('after all that was stored is removed, and newcomers can watch', async () => {
    await disk?.empty();
    await goesOn();
    await isStoredAgain();
    const newcomer = new LlHlsReader(stream.streamUrl);
    try {
      await until('a newcomer sees it', () => newcomer.parts > 3);
      expect(newcomer.troubles).toEqual([]);
    } finally {
      await newcomer.stop();
    }
  });

  test('however often its ffmpeg is killed: the rung returns, or is withdrawn', async () => {
    const { worker } = await platform.line('its worker', (line) => line.stream === stream.id && !!line.worker);
    const process = await workerProcess(String(worker));
    if (!process) throw new Error('no such worker');
    const rungs = async () => (await childrenOf(process.pid)).filter((child) => child.command.includes('pipe:'));
    let killed = 0;
    for (const before = new Set<number>(); killed < 4; ) {
      const victim = await until('ffmpeg runs, or is given up', async () => {
        const child = (await rungs()).find(({ pid }) => !before.has(pid));
        return child?.pid ?? (!(await fetchText(stream.streamUrl)).includes('360p') && -1);
      });
      if (victim === -1) break;
      before.add(victim);
      globalThis.process.kill(victim, 'SIGKILL');
      killed += 1;
      await goesOn(1);
    }
    expect(killed).toBeGreaterThan(0);
    await goesOn();
    expect((await workerProcess(String(worker)))?.pid).toBe(process.pid);
    const live = viewer.msn;
    await until('the rung is there again, or withdrawn', async () => {
      if (!(await fetchText(stream.streamUrl)).includes('360p')) return true;
      const rung = parse(await fetchText(new URL('360p/index.m3u8', stream.streamUrl).href));
      return rung.segments.some((segment) => segment.msn > live && !segment.gap);
    });
  });

  test('while its ffmpeg is too slow: the rung leaves, and comes back when there is room', async () => {
    const { worker } = await platform.line('its worker', (line) => line.stream === stream.id && !!line.worker);
    const process = await workerProcess(String(worker));
    if (!process) throw new Error('no such worker');
    const listed = async () => (await fetchText(stream.streamUrl)).includes('360p');
    await until('the rung is there', listed, 90_000);
    const slowness = new Slowness(process.pid);
    try {
      await until('the rung is withdrawn', async () => !(await listed()), 60_000);
    } finally {
      await slowness.end();
    }
    await goesOn();
    await until('the rung is back', listed, 120_000);
    const rung = parse(await fetchText(new URL('360p/index.m3u8', stream.streamUrl).href));
    expect(rung.segments.filter(({ gap }) => gap)).toEqual([]);
    expect(rung.segments.length).toBeGreaterThanOrEqual(3);
  }, 300_000);

  describe('while PostgreSQL', () => {
    const refusal = async () => {
      const response = await fetch(`${platform.web}/api/search?q=bob`);
      const { title, status } = (await response.json()) as { title?: string; status?: number };
      return { status: response.status, type: response.headers.get('content-type'), title, said: status };
    };
    const away = { status: 503, type: 'application/problem+json', title: 'Service Unavailable', said: 503 };

    async function postmaster(): Promise<number> {
      return Number.parseInt(await readFile(path.join(platform.folder, 'postgres/postmaster.pid'), 'utf8'));
    }

    /** What an encoder that is not live yet is told. */
    async function answerTo(account: Account): Promise<string> {
      const { port } = new URL(platform.rtmp.replace(/^rtmp/, 'http'));
      const peer = await RtmpPeer.open(Number(port));
      if (!peer) throw new Error('no connection');
      try {
        peer.publish('live', account.streamKey, account.rtmpUrl);
        return await until('an answer', () => /NetStream\.Publish\.\w+/.exec(peer.heard)?.[0]);
      } finally {
        peer.close();
      }
    }

    test('does not answer: newcomers are refused, and an end is told later', async () => {
      const second = publish(bo);
      const ended = await listed('bob');
      const server = await postmaster();
      const family = [server, ...(await childrenOf(server)).map(({ pid }) => pid)];
      family.forEach((pid) => process.kill(pid, 'SIGSTOP'));
      try {
        expect(await refusal()).toEqual(away);
        const list = await fetch(`${platform.web}/api/streams`);
        expect([list.status, list.headers.has('age')], 'what was read before').toEqual([200, true]);
        await second.stop('SIGKILL');
        await platform.line('the end of the second stream', (line) => line.stream === ended.id && line.phase === 'Ended');
        expect(await answerTo(bo)).toBe('NetStream.Publish.Rejected');
        await goesOn();
      } finally {
        for (const pid of family) {
          try {
            process.kill(pid, 'SIGCONT');
          } catch {
            // It has gone meanwhile.
          }
        }
        await second.stop('SIGKILL');
      }
      await until('the api knows of the end', async () => {
        const { isLive, endedAt } = await api<Stream>(platform.web, 'GET', `/api/streams/${ended.id}`);
        return !isLive && endedAt;
      });
    });

    test('has ended: it is started again', async () => {
      const again = says('PostgreSQL runs again');
      process.kill(await postmaster(), 'SIGINT');
      await again();
      await goesOn(1);
      await until('the api answers', () => api(platform.web, 'GET', '/api/streams'));
    });

    test('is gone: that is said, and it is never replaced by an empty one', async () => {
      const mark = path.join(platform.folder, 'postgres/PG_VERSION');
      const gone = says('is no database any more');
      const server = await postmaster();
      await rename(mark, `${mark}.away`);
      try {
        process.kill(server, 'SIGINT');
        await gone();
        expect(await refusal()).toEqual(away);
        await goesOn();
      } finally {
        await rename(`${mark}.away`, mark);
      }
      await until('ana can log in again', () =>
        api(platform.web, 'POST', '/api/auth/login', { body: { login: ana.username, password: ana.password } }));
      expect(await answerTo(bo)).toBe('NetStream.Publish.Start');
    });
  });
});
