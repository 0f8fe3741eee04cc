import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { api, BEHIND_A_PROXY, register, type Stream } from '../../e2e/src/account.ts';
import { encode } from '../../e2e/src/encoder.ts';
import { parse } from '../../e2e/src/playlist.ts';
import { Program, until } from '../../e2e/src/process.ts';
import { load } from './processes.ts';
import { stage, type Stage } from './standalone.ts';
import { pause, progress, table, title } from './table.ts';

const VIEWERS = Number(process.env.LOAD_VIEWERS ?? 1000);
const SECONDS = Number(process.env.LOAD_SECONDS ?? 90);
/** All come within so long. */
const RAMP_SECONDS = Math.max(5, VIEWERS / 50);
/** Each says something every two seconds: two messages a second in all. */
const TALKERS = 4;

/** What k6 writes of a metric: a trend, a counter or a rate. */
interface Metric {
  values: { [value: string]: number | undefined };
  thresholds?: { [rule: string]: { ok: boolean } };
}

/** The mission's load test: a thousand people watch one broadcast of 300 kb/s as plain HLS and chat, two messages a second. */
export async function measureLoad(): Promise<void> {
  const k6 = execFileSync(fileURLToPath(new URL('../../scripts/k6', import.meta.url)), ['path'], { encoding: 'utf8' }).trim();
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-load-'));
  const set = await stage({ ...BEHIND_A_PROXY, CAUDAL_LADDER: 'none' });
  // With 128 kb/s of sound.
  const encoder = encode(set.url, { size: '640x360', fps: 25, gop: 50, bitrate: '172k' });
  try {
    const tokens: string[] = [];
    while (tokens.length < TALKERS) tokens.push((await register(set.platform.web, `talker${tokens.length}`)).accessToken);
    const stream = await until('the broadcast', async () => (await api<Stream[]>(set.platform.web, 'GET', '/api/streams'))[0]);
    // A broadcast that has been going on for a while: a player begins three target durations before its end.
    await until('sixteen seconds of it', async () => (await segments(stream)) >= 8, 60_000);
    const { metrics, platform, k6: generator, most } = await run(k6, folder, set, stream, tokens);
    report(metrics, platform, generator, most);
  } finally {
    await encoder.stop('SIGTERM');
    await set.platform.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function segments({ streamUrl }: Stream): Promise<number> {
  const answer = await fetch(new URL('source/index.m3u8', streamUrl));
  return parse(await answer.text()).segments.filter(({ gap }) => !gap).length;
}

type Load = Awaited<ReturnType<typeof load>>;

async function run(k6: string, folder: string, { platform }: Stage, stream: Stream, tokens: string[]) {
  const [tokenFile, summary] = [path.join(folder, 'tokens.json'), path.join(folder, 'summary.json')];
  await writeFile(tokenFile, JSON.stringify(tokens), { mode: 0o600 });
  const program = new Program(k6, ['run', '--quiet', '--no-color', fileURLToPath(new URL('../k6/viewers.js', import.meta.url))], {
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      K6_NO_USAGE_REPORT: 'true',
      VIEWERS: String(VIEWERS),
      RAMP_SECONDS: String(RAMP_SECONDS),
      SECONDS: String(SECONDS),
      // As our page asks, which is counted by its socket already.
      MASTER: stream.streamUrl.replace('/live/', '/v/present/live/'),
      ROOM: `${platform.web.replace(/^http/, 'ws')}/ws/chat/${stream.id}`,
      TOKENS: tokenFile,
      SUMMARY: summary,
    },
  });
  progress(`load: ${VIEWERS} viewers come within ${RAMP_SECONDS} s and stay for ${SECONDS} s`);
  let over = false;
  const counted = most(async () => (await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`)).viewerCount, () => over);
  // Once all are there, and before they go.
  await pause((RAMP_SECONDS + 2) * 1000);
  const [ofPlatform, ofK6] = await Promise.all([load(platform.pid, SECONDS - 10), load(program.pid, SECONDS - 10)]);
  const code = await program.exited();
  over = true;
  // 99: a threshold was crossed, which the table tells.
  if (code !== 0 && code !== 99) throw new Error(`k6 ended with ${code}: ${program.stderr}`);
  const { metrics } = JSON.parse(await readFile(summary, 'utf8')) as { metrics: Record<string, Metric> };
  return { metrics, platform: ofPlatform, k6: ofK6, most: await counted };
}

/** The most that was ever seen. */
async function most(look: () => Promise<number>, isOver: () => boolean): Promise<number> {
  let seen = 0;
  while (!isOver()) {
    seen = Math.max(seen, await look().catch(() => 0));
    await pause(1000);
  }
  return seen;
}

function report(metrics: Record<string, Metric>, platform: Load, k6: Load, viewers: number): void {
  const value = (metric: string, of: string) => metrics[metric]?.values[of] ?? 0;
  const ms = (metric: string, of: string) => value(metric, of).toFixed(value(metric, of) < 10 ? 1 : 0);
  title(
    `Load: ${VIEWERS} viewers of one broadcast of 300 kb/s as plain HLS, each with a socket in its room, where ${TALKERS} say two messages a second; ` +
      `they come within ${RAMP_SECONDS} s and stay for ${SECONDS} s; k6 on the same cores. Targets: no failure, no stall, nothing missed, chat p99 below 250 ms`,
  );
  table(
    ['', '', 'p50', 'p95', 'p99', 'longest'],
    [
      ['playlists, ms', value('playlist_ms', 'count')],
      ['segments, ms', value('segment_ms', 'count')],
      ['chat: from saying to hearing, ms', value('chat_late_ms', 'count')],
      ['chat: from opening to being in the room, ms', value('chat_join_ms', 'count')],
    ].map(([what = '', count = 0], row) => {
      const metric = ['playlist_ms', 'segment_ms', 'chat_late_ms', 'chat_join_ms'][row] ?? '';
      return [what, count, ms(metric, 'med'), ms(metric, 'p(95)'), ms(metric, 'p(99)'), ms(metric, 'max')];
    }),
  );
  title('The same in all');
  table(
    ['what', 'how much'],
    [
      ['viewers that the platform counted, at most', viewers],
      ['requests for media a second', value('http_reqs', 'rate').toFixed(0)],
      ['of them failed', `${(value('watch_failed', 'rate') * 100).toFixed(3)} %`],
      ['received, Mb/s', ((value('data_received', 'rate') * 8) / 1e6).toFixed(1)],
      ['stalls', value('stalls', 'count')],
      ['messages said', value('chat_said', 'count')],
      ['of them refused', value('chat_refused', 'count')],
      ['messages heard', value('chat_heard', 'count')],
      ['missed', value('chat_missed', 'count')],
      ['sockets that were closed', value('chat_away', 'count')],
      ['cores of the platform, with PostgreSQL and the worker', platform.cores.toFixed(2)],
      ['its memory, MiB', platform.rssMiB.toFixed(0)],
      ['cores of k6', k6.cores.toFixed(2)],
      ['its memory, MiB', k6.rssMiB.toFixed(0)],
      ['thresholds that were crossed', crossed(metrics).join(', ') || 'none'],
    ],
  );
}

function crossed(metrics: Record<string, Metric>): string[] {
  return Object.entries(metrics).flatMap(([name, { thresholds = {} }]) =>
    Object.entries(thresholds).filter(([, { ok }]) => !ok).map(([rule]) => `${name} ${rule}`),
  );
}
