import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';

import { parse } from '../../e2e/src/playlist.ts';
import { Program, until } from '../../e2e/src/process.ts';
import { BUILDS, probe, type Build } from './builds.ts';
import { nginxFiles } from './peers.ts';
import { itself, load, pin, tree, unpin } from './processes.ts';
import { Publisher } from './publisher.ts';
import { Recording, SMALL } from './recording.ts';
import { prepared, stage, type Stage } from './standalone.ts';
import { median, pause, progress, RUNS, spread, table, title } from './table.ts';

/** The server has one core to itself; publisher, worker, database and those who ask share another. */
const SERVER_CORE = 0;
const OTHER_CORE = 1;

/** How many viewers a core serves, and how soon they learn of a part. */
export async function measureEdge(): Promise<void> {
  if (cpus().length < 2) return title('Edge: not measured, it needs two cores');
  const recording = await Recording.make(SMALL);
  try {
    for (const build of BUILDS) await measured(build, recording);
  } finally {
    await recording.remove();
  }
}

async function measured(build: Build, recording: Recording): Promise<void> {
  const set = await stage({ CAUDAL_LADDER: 'none' }, build);
  let publisher: Publisher | undefined;
  try {
    const stream = await prepared(set);
    publisher = await Publisher.start(set.url, await recording.tags());
    await pause(12_000);
    for (const { pid } of await tree(set.platform.pid)) pin(pid, pid === set.platform.pid ? SERVER_CORE : OTHER_CORE);
    pin(process.pid, OTHER_CORE);
    await rate(set, stream, build.name);
    await wakeUp(set, stream, build.name);
  } finally {
    unpin(process.pid);
    await publisher?.stop();
    await set.platform.stop();
  }
}

/** Answers a second, as many as the one core gives. */
async function rate(set: Stage, stream: string, whose: string): Promise<void> {
  if (!existsSync(H2LOAD)) return title('Edge, answers a second: not measured, h2load (nghttp2-client) is not installed');
  const base = `${set.platform.hls}/live/${stream}/source`;
  const fetched = async (url: string) => Buffer.from(await (await fetch(url)).arrayBuffer());
  const playlist = await fetched(`${base}/index.m3u8?_HLS_skip=YES`);
  const [name = ''] = parse(playlist.toString()).parts.slice(-1).map((part) => part.uri);
  const part = await fetched(`${base}/${name}`);
  const files = await nginxFiles({ playlist, part });
  const asked: [string, number, () => Promise<string[]>, number][] = [
    ['Caudal, delta playlists', playlist.length, () => Promise.resolve([`${base}/index.m3u8?_HLS_skip=YES`]), set.platform.pid],
    ['Caudal, parts', part.length, () => newestParts(base), set.platform.pid],
    [
      'Caudal, playlists and parts in turns',
      (playlist.length + part.length) / 2,
      async () => (await newestParts(base)).flatMap((url) => [`${base}/index.m3u8?_HLS_skip=YES`, url]),
      set.platform.pid,
    ],
  ];
  if (files) {
    const [worker] = (await tree(files.pid)).filter((one) => one.pid !== files.pid);
    if (worker) pin(worker.pid, SERVER_CORE);
    const pid = worker?.pid ?? files.pid;
    asked.push(['nginx, the same playlist as a file', playlist.length, () => Promise.resolve([`${files.url}/playlist`]), pid]);
    asked.push(['nginx, the same part as a file', part.length, () => Promise.resolve([`${files.url}/part`]), pid]);
  }
  const seen = new Map(asked.map(([what, size]) => [what, { size, rates: [] as number[], cores: [] as number[] }]));
  try {
    for (let run = 0; run < RUNS; run += 1) {
      for (const [what, , urls, pid] of asked) {
        const figures = seen.get(what);
        const [answers, { cores }] = await Promise.all([hammer(await urls()), load(pid, 4, itself(pid))]);
        figures?.rates.push(answers);
        figures?.cores.push(cores);
        progress(`edge ${run + 1}/${RUNS} ${what}: ${answers.toFixed(0)} a second, ${cores.toFixed(2)} cores`);
      }
    }
  } finally {
    await files?.stop();
  }
  title(`${whose}'s edge, answers a second on one core: HTTP/1.1 kept alive, 32 connections, h2load on the other core, median of ${RUNS} (least–most)`);
  table(
    ['what is asked for', 'bytes', 'answers a second', 'cores that took', 'answers a second of a whole core', 'target'],
    [...seen].map(([what, { size, rates, cores }]) => [
      what,
      Math.round(size),
      spread(rates),
      median(cores).toFixed(2),
      // Where h2load cannot ask for more, the server's core has time left.
      spread(rates.map((rate, run) => rate / (cores[run] ?? Number.NaN))),
      what.startsWith('Caudal') ? '20000' : '',
    ]),
  );
}

/** Parts that stay fetchable for longer than a run takes. */
async function newestParts(base: string): Promise<string[]> {
  const { parts } = parse(await (await fetch(`${base}/index.m3u8`)).text());
  return parts.slice(-8).map((part) => `${base}/${part.uri}`);
}

async function hammer(urls: string[]): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-bench-'));
  try {
    const list = path.join(folder, 'urls');
    await writeFile(list, urls.map((url) => `${url}\n`).join(''));
    const load = new Program('taskset', ['-c', String(OTHER_CORE), H2LOAD, '--h1', '-c', '32', '-t', '1', '-D', '5', '-i', list]);
    let said = '';
    load.child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
    if ((await load.exited()) !== 0) throw new Error(`h2load: ${load.stderr}`);
    const [, done = '0', failed = '0'] = /requests: .*?(\d+) succeeded, (\d+) failed/.exec(said) ?? [];
    if (Number(failed) > 0 || !/status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx/.test(said)) throw new Error(said);
    return Number(done) / 5;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Held {
  viewers: number;
  answersPerSecond: number;
  playlist: { p50: number; p95: number; max: number };
  part: { p50: number; p95: number; max: number };
}

/** How much later than the first of them the others of many waiting viewers have a part. */
async function wakeUp(set: Stage, stream: string, whose: string): Promise<void> {
  const rows: (string | number)[][] = [];
  for (const viewers of [100, 1000]) {
    const runs: Held[] = [];
    const cores: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      const address = `127.0.0.1:${new URL(set.platform.hls).port}`;
      const holding = new Program('taskset', [
        '-c', String(OTHER_CORE), probe('hold-viewers'), address, stream, '--viewers', String(viewers), '--seconds', '15',
      ]);
      let said = '';
      holding.child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
      // All have come by then.
      await pause(8000);
      cores.push((await load(set.platform.pid, 8, itself(set.platform.pid))).cores);
      if ((await holding.exited()) !== 0) throw new Error(`hold-viewers: ${holding.stderr}`);
      const held = JSON.parse(said) as Held;
      runs.push(held);
      progress(`edge ${run + 1}/${RUNS} ${viewers} viewers: p95 ${held.playlist.p95.toFixed(0)} ms`);
      await until('the edge is quiet again', async () => (await load(set.platform.pid, 1, itself(set.platform.pid))).cores < 0.2);
    }
    const of = (get: (run: Held) => number, digits = 0) => spread(runs.map(get), digits);
    rows.push([
      viewers,
      of((run) => run.answersPerSecond),
      of((run) => run.playlist.p50),
      of((run) => run.playlist.p95),
      of((run) => run.playlist.max),
      of((run) => run.part.p95),
      spread(cores, 2),
    ]);
  }
  title(`${whose}'s edge, wake-up: viewers of one stream with parts of 0.2 s, each waiting on picture and sound, milliseconds after the first of them had it; median of ${RUNS} runs of 15 s (least–most)`);
  table(['viewers', 'answers a second', 'playlist p50', 'playlist p95 (target 100)', 'playlist last', 'part in hand p95', 'cores of the server'], rows);
}

const H2LOAD = '/usr/bin/h2load';
