import { createInterface } from 'node:readline';

import { BEHIND_A_PROXY, register } from '../../e2e/src/account.ts';
import { Program } from '../../e2e/src/process.ts';
import { OURS, probe } from './builds.ts';
import { cost, itself, load, pin } from './processes.ts';
import { prepared, stage, type Stage } from './standalone.ts';
import { pause, progress, RUNS, spread, table, title } from './table.ts';

/** The server has one core to itself; database, worker and those who chat share another. */
const SERVER_CORE = 0;
const OTHER_CORE = 1;

/** Each says one thing in two seconds, which the room's limits allow for as long as one likes. */
const SECONDS_BETWEEN = 2;

interface Figures {
  people: number;
  said: number;
  refused: number;
  heard: number;
  missed: number;
  late: { p50: number; p99: number; max: number };
  returnSeconds: number;
  /** Of the server, while people talk. */
  cores: number;
  /** Of the server, for each socket that came. */
  kibEach: number;
}

const WIRES = [
  { name: 'raw JSON', options: [] },
  { name: 'Socket.IO', options: ['--socket-io'] },
];

/** How many people one core lets talk to each other, how soon they hear, and what a socket holds. */
export async function measureChat(): Promise<void> {
  const set = await stage({ ...BEHIND_A_PROXY, CAUDAL_LADDER: 'none' }, OURS);
  try {
    const stream = await prepared(set);
    const tokens: string[] = [];
    while (tokens.length < 50 * SECONDS_BETWEEN) {
      tokens.push((await register(set.platform.web, `talker${tokens.length}`, `10.0.0.${tokens.length + 1}`)).accessToken);
    }
    pin(set.platform.pid, SERVER_CORE);
    const rows: (string | number)[][] = [];
    for (const { name, options } of WIRES) {
      for (const [listeners, rate] of [[100, 20], [1000, 20], [1000, 45]] as const) {
        const runs: Figures[] = [];
        for (let run = 0; run < RUNS; run += 1) {
          const figures = await held(set, stream, listeners, rate, tokens, options);
          runs.push(figures);
          progress(`chat ${run + 1}/${RUNS} ${name}, ${listeners} and ${rate}/s: p99 ${figures.late.p99.toFixed(0)} ms, ${figures.cores.toFixed(2)} cores`);
          // Whose place is taken may come back in a moment; memory goes back to the allocator, not to the system.
          await pause(5000);
        }
        const of = (get: (run: Figures) => number, digits = 0) => spread(runs.map(get), digits);
        rows.push([
          name,
          listeners,
          rate,
          of(({ heard }) => heard / SECONDS),
          of(({ cores }) => cores, 2),
          of(({ heard, cores }) => heard / SECONDS / cores),
          of(({ late }) => late.p50),
          of(({ late }) => late.p99),
          of(({ late }) => late.max),
          of(({ missed }) => missed),
          of(({ refused }) => refused),
          runs[0]?.kibEach.toFixed(1) ?? '',
          of(({ returnSeconds }) => returnSeconds, 2),
        ]);
      }
    }
    title(`Chat in one room of a standalone platform, ${SECONDS} s, the server on one core; median of ${RUNS} (least–most). Targets: 100,000 (raw) and 70,000 (Socket.IO) deliveries a core second, p99 below 250 ms and half a core with 1,000 and 20 a second, 10 and 32 KiB a socket, all back within 10 s`);
    table(
      ['wire', 'listen', 'messages a second', 'deliveries a second', 'cores of the server', 'deliveries a core second', 'late p50, ms', 'p99', 'longest', 'missed', 'refused', 'KiB a socket (first run)', 'all back after, s'],
      rows,
    );
  } finally {
    await set.platform.stop();
  }
}

const SECONDS = 20;

/** One room, from empty to empty. */
async function held(
  { platform }: Stage,
  stream: string,
  listeners: number,
  rate: number,
  tokens: string[],
  options: string[],
): Promise<Figures> {
  const rss = async () => (await cost(platform.pid, itself(platform.pid))).rssMiB;
  const before = await rss();
  const address = `127.0.0.1:${new URL(platform.web).port}`;
  const people = new Program('taskset', [
    '-c', String(OTHER_CORE), probe('hold-chat'), address, stream,
    '--listeners', String(listeners), '--rate', String(rate), '--seconds', String(SECONDS), ...options,
  ], { stdio: ['pipe', 'pipe', 'pipe'] });
  people.child.stdin?.end(`${tokens.slice(0, rate * SECONDS_BETWEEN).join('\n')}\n`);
  let figures: Omit<Figures, 'cores' | 'kibEach'> | undefined;
  let connected = 0;
  let kibEach = Number.NaN;
  let cores: Promise<number> = Promise.resolve(Number.NaN);
  if (!people.child.stdout) throw new Error('no standard output');
  for await (const line of createInterface({ input: people.child.stdout })) {
    const said = JSON.parse(line) as { connected?: number; talking?: true; people?: number };
    if (said.connected) {
      connected = said.connected;
      kibEach = (((await rss()) - before) * 1024) / connected;
    } else if (said.talking) {
      cores = load(platform.pid, SECONDS, itself(platform.pid)).then((seen) => seen.cores);
    } else if (said.people) {
      figures = said as Omit<Figures, 'cores' | 'kibEach'>;
    }
  }
  if ((await people.exited()) !== 0 || !figures) throw new Error(`hold-chat: ${people.stderr}`);
  return { ...figures, cores: await cores, kibEach };
}
