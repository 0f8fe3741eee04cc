import { spawnSync } from 'node:child_process';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { browse, playhead } from '../src/browser.ts';
import { listeningPorts } from '../src/connection.ts';
import { encode } from '../src/encoder.ts';
import { LlHlsReader } from '../src/ll-hls-reader.ts';
import { documentedMetrics, metricNames } from '../src/metrics.ts';
import { Platform } from '../src/platform.ts';
import { fetchText, parse, source } from '../src/playlist.ts';
import { Program, until } from '../src/process.ts';
import { workerProcess } from '../src/processes.ts';

describe('one broadcast', () => {
  let platform: Platform;
  let streamer: Account;
  let encoder: Program;
  let stream: Stream;

  beforeAll(async () => {
    platform = await Platform.start();
    streamer = await register(platform.web, 'ana');
    encoder = encode(`${streamer.rtmpUrl}/${streamer.streamKey}`, { bFrames: 2 });
    stream = await until('the stream is listed', async () => {
      const [first] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
      return first;
    });
  });

  afterAll(async () => {
    await encoder?.stop();
    await platform?.stop();
  });

  test('is listed as live with the addresses that players need', () => {
    expect(stream.isLive).toBe(true);
    expect(stream.user.username).toBe('ana');
    expect(stream.startedAt).not.toBeNull();
    expect(stream.streamUrl).toBe(`${platform.hls}/live/${stream.id}/master.m3u8`);
    expect(stream.dashUrl).toBe(`${platform.hls}/live/${stream.id}/manifest.mpd`);
  });

  test('has a master playlist with source, a rung below it, and audio', async () => {
    const master = await until('the rung is in the master playlist', async () => {
      const text = await fetchText(stream.streamUrl);
      return text.includes('480p/index.m3u8') && text;
    });
    expect(master).toContain('source/index.m3u8');
    expect(master).toContain('RESOLUTION=1280x720');
    expect(master).toMatch(/CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"/i);
    expect(master).toContain('audio/index.m3u8');
  });

  test('answers a blocking request when the part is there, and not before', async () => {
    const { segments, text } = await until('finished segments', async () => {
      const playlist = await source(stream.streamUrl);
      return playlist.segments.some((segment) => !segment.gap) && playlist;
    });
    const last = segments.at(-1);
    if (!last) throw new Error('no segment');
    expect(text).toContain('CAN-BLOCK-RELOAD=YES');
    const wanted = last.msn + 1;
    const answer = parse(
      await fetchText(new URL(`source/index.m3u8?_HLS_msn=${wanted}&_HLS_part=1`, stream.streamUrl).href),
    );
    const opened = answer.text.includes(`-${''}`) && (answer.segments.at(-1)?.msn ?? 0) >= wanted - 1;
    expect(opened).toBe(true);
    for (const part of answer.parts) expect(part.duration).toBeLessThanOrEqual((answer.partTarget ?? 0) + 1e-6);
  });

  test('has renditions whose segments begin at the same instants', async () => {
    const [video, audio] = await Promise.all(
      ['source', 'audio'].map(async (name) =>
        parse(await fetchText(new URL(`${name}/index.m3u8`, stream.streamUrl).href)),
      ),
    );
    if (!video || !audio) throw new Error('two playlists');
    const durations = new Map(video.segments.filter((s) => !s.gap).map((s) => [s.msn, s.duration]));
    const common = audio.segments.filter((s) => !s.gap && durations.has(s.msn));
    expect(common.length).toBeGreaterThan(0);
    // Audio follows within one of its frames, 1024 samples.
    for (const segment of common) expect(Math.abs(segment.duration - (durations.get(segment.msn) ?? 0))).toBeLessThan(0.043);
  });

  test('plays in a browser, and goes on playing', async () => {
    const { browser, close } = await browse();
    try {
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(String(error)));
      await page.goto(`${platform.web}/watch/${stream.id}`);
      const first = await until('the first picture', () => playhead(page));
      const later = await until('three seconds of it', async () => {
        const now = await playhead(page);
        return now && now.time > first.time + 3 && now;
      });
      expect(later.width).toBeGreaterThanOrEqual(640);
      expect(problems).toEqual([]);
      const viewers = async () => (await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`)).viewerCount;
      await until('the one viewer is counted', async () => (await viewers()) === 1);
      // A second person, whose browser is one of its own because a tab in the background plays nothing, and a player that
      // is no browser. Playlists alone make no viewer.
      const neighbour = await browse();
      const reader = new LlHlsReader(stream.streamUrl);
      try {
        await (await neighbour.browser.newPage()).goto(`${platform.web}/watch/${stream.id}`);
        await until('three viewers are counted', async () => {
          await source(stream.streamUrl);
          return (await viewers()) === 3;
        });
      } finally {
        await reader.stop();
        await neighbour.close();
      }
      await until('who left is counted no more', async () => (await viewers()) === 1, 40_000);
    } finally {
      await close();
    }
  });

  test('plays in a plain HLS player and in a DASH one', () => {
    for (const url of [stream.streamUrl, stream.dashUrl]) {
      const probe = spawnSync(
        'ffprobe',
        ['-v', 'error', '-show_entries', 'stream=codec_name,width,height', '-of', 'json', url],
        { encoding: 'utf8', timeout: 40_000 },
      );
      const streams = (JSON.parse(probe.stdout || '{}') as { streams?: { codec_name: string }[] }).streams ?? [];
      expect(streams.map((one) => one.codec_name), `${url}: ${probe.stderr}`).toEqual(
        expect.arrayContaining(['h264', 'aac']),
      );
    }
  });

  test('has a poster', async () => {
    const { thumbnailUrl } = await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`);
    if (!thumbnailUrl) throw new Error('no thumbnailUrl');
    const poster = await until('the poster', async () => {
      const response = await fetch(thumbnailUrl);
      return response.ok && new Uint8Array(await response.arrayBuffer());
    });
    expect([...poster.slice(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
  });

  test('refuses a second publisher while the first one sends, and says so', async () => {
    const second = encode(`${streamer.rtmpUrl}/${streamer.streamKey}`, { seconds: 20 });
    try {
      expect(await second.exited()).not.toBe(0);
      expect(second.stderr).toMatch(/live from another encoder/i);
      expect(encoder.running).toBe(true);
    } finally {
      await second.stop();
    }
  });

  test('shows its owner, and nobody else, how the encoder does', async () => {
    const health = await until('measurements', async () => {
      const answer = await api<{ ingest: { fps: number; width: number; keyframeIntervalMs: number } | null }>(
        platform.web,
        'GET',
        `/api/streams/${stream.id}/health`,
        { token: streamer.accessToken },
      );
      return answer.ingest && answer.ingest.keyframeIntervalMs > 0 && answer.ingest;
    });
    expect(health.width).toBe(1280);
    expect(health.fps).toBeGreaterThan(25);
    expect(health.keyframeIntervalMs).toBe(2000);
    const stranger = await register(platform.web, fresh('zoe'));
    await expect(
      api(platform.web, 'GET', `/api/streams/${stream.id}/health`, { token: stranger.accessToken }),
    ).rejects.toThrow(/40[34]/);
  });

  test('is measured by what the docs describe, and by nothing else', async () => {
    const { worker } = await platform.line('which worker it has', (line) => line.stream === stream.id && !!line.worker);
    const process = await workerProcess(String(worker));
    if (!process) throw new Error('no such worker');
    const admins = [platform.admin, ...(await listeningPorts(process.pid)).map((port) => `http://127.0.0.1:${port}`)];
    const shown = (await Promise.all(admins.map((admin) => metricNames(admin).catch(() => [])))).flat();
    const documented = await documentedMetrics();
    const names = documented.map(({ name }) => name);
    expect(shown.filter((name) => name.startsWith('caudal_') && !names.includes(name))).toEqual([]);
    const expected = documented.filter(({ always }) => always).map(({ name }) => name);
    expect(expected.filter((name) => !shown.includes(name))).toEqual([]);
  });

  test('ends when its owner says so, for the encoder and for players', async () => {
    await api(platform.web, 'DELETE', `/api/streams/${stream.id}`, { token: streamer.accessToken });
    expect(await encoder.exited()).not.toBe(0);
    await until('the playlist is closed', async () => (await source(stream.streamUrl)).ended);
    await until('the api says that it ended', async () => {
      const ended = await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`);
      return !ended.isLive && ended.endedAt;
    });
    // The key is held for a moment, so that an encoder's automatic return does not bring it back.
    const back = encode(`${streamer.rtmpUrl}/${streamer.streamKey}`, { seconds: 20 });
    expect(await back.exited()).not.toBe(0);
    await back.stop();
  });
});

test('a key that nobody has is refused in words that the encoder shows', async () => {
  const platform = await Platform.start({ CAUDAL_LADDER: 'none' });
  try {
    const encoder = encode(`${platform.rtmp}/live_${'x'.repeat(32)}`, { seconds: 20 });
    expect(await encoder.exited()).not.toBe(0);
    expect(encoder.stderr).toMatch(/key/i);
    expect(encoder.stderr).not.toContain('Broken pipe');
    expect(platform.log).not.toContain('x'.repeat(32));
  } finally {
    await platform.stop();
  }
});
