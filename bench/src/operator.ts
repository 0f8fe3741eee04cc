import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Program } from '../../e2e/src/process.ts';
import { OURS, probe } from './builds.ts';
import { progress, table, title } from './table.ts';

/** Milliseconds after the API server had acknowledged a stream. */
interface Times {
  count: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  max: number | null;
}

/** A line of the probe `operator-load`. */
export interface Played {
  scenario: string;
  seconds: number;
  figures: {
    seen?: Record<'pod' | 'assigned' | 'worker' | 'live', Times>;
    rate?: number;
    warm?: number;
    openSeconds?: number;
    liveSeconds?: number;
    endSeconds?: number;
    streams?: number;
    partMs?: number;
  };
  processes: { process: string; cores: number; rssMiB: number; peakMiB: number }[];
  requests: { of: string; verb: string; conflict: boolean; count: number }[];
  warnings: number;
  done: number;
  pods: number;
}

/** Requests of the probe itself, which is everybody but the operator: so many a stream, or a pod. */
const OF_OTHERS = new Map([
  ['POST livestreams', 'the router opens it'],
  ['APPLY livestreams/status', 'the router writes what comes'],
  ['GET livestreams', 'the same, when it was overtaken'],
  ['POST pods/binding', 'the scheduler'],
  ['PATCH pods/status', 'the kubelet'],
]);

/**
 * How long streams wait for the operator and what it costs, over a real API server whose nodes, workers, router and api are one probe.
 * BENCH_OPERATOR: the probe's arguments, as in "--held 500 --rates 10".
 */
export async function measureOperator(): Promise<void> {
  const scenarios = await played(process.env.BENCH_OPERATOR?.split(' ').filter(Boolean) ?? []);
  waiting(scenarios);
  running(scenarios);
  asking(scenarios);
}

/** Lets the probe play what `args` say. */
export async function played(args: string[]): Promise<Played[]> {
  const program = probe('operator-load');
  if (!existsSync(program)) throw new Error(`${program} is not built`);
  const script = fileURLToPath(new URL('../../scripts/with-kubernetes.sh', import.meta.url));
  const load = new Program(script, [program, OURS.program, ...args]);
  let said = '';
  load.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    for (const [, scenario] of text.matchAll(/"scenario":"([^"]+)"/g)) progress(`operator: ${scenario}`);
  });
  if ((await load.exited()) !== 0) throw new Error(load.stderr);
  return said.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Played);
}

function waiting(scenarios: Played[]): void {
  title('Operator: from the acknowledgement of a LiveStream, milliseconds, p50 / p99 / longest');
  table(
    ['streams', 'pod created', 'worker assigned', 'worker in the record', 'live', 'all of them, s', 'cores: operator', 'API server', 'etcd', 'load'],
    scenarios
      .filter(({ figures }) => figures.seen)
      .map((one) => [
        named(one),
        ...(['pod', 'assigned', 'worker', 'live'] as const).map((what) => times(one.figures.seen?.[what])),
        (one.figures.liveSeconds ?? one.seconds).toFixed(0),
        ...['operator', 'kube-apiserver', 'etcd', 'load'].map((name) => cores(one, name)),
      ]),
  );
}

function running(scenarios: Played[]): void {
  title('Operator: at rest, and how streams end');
  table(
    ['what', 'seconds', 'RSS MiB (most)', '% of a core: operator', 'API server', 'load', 'writes of LiveStreams', 'ends acknowledged', 'pods left', 'warnings'],
    scenarios
      .filter(({ figures }) => !figures.seen)
      .map((one) => [
        named(one),
        (one.figures.endSeconds ?? one.seconds).toFixed(0),
        memory(one),
        ...['operator', 'kube-apiserver', 'load'].map((name) => (Number(cores(one, name)) * 100).toFixed(0)),
        writes(one),
        one.done,
        one.pods,
        one.warnings,
      ]),
  );
}

/** One whole life, of streams that do not get in each other's way. */
function asking(scenarios: Played[]): void {
  const calm = scenarios.find(({ scenario }) => scenario === 'cold');
  if (!calm) return;
  const streams = calm.done;
  title(`Operator: requests that the API server answered for one stream's whole life, mean of ${streams}`);
  const rows = new Map<string, { each: number; conflicts: number }>();
  for (const { of, verb, conflict, count } of calm.requests) {
    if (!/^(livestreams|pods|events)/.test(of) || verb === 'WATCH') continue;
    const own = rows.get(`${verb} ${of}`) ?? { each: 0, conflicts: 0 };
    own.each += count / streams;
    if (conflict) own.conflicts += count / streams;
    rows.set(`${verb} ${of}`, own);
  }
  table(
    ['request', 'each stream', 'of these overtaken (409)', 'whose'],
    [...rows].map(([what, { each, conflicts }]) => [
      what,
      each.toFixed(2),
      conflicts.toFixed(2),
      OF_OTHERS.get(what) ?? (SHARED.get(what) ?? 'the operator'),
    ]),
  );
}

const SHARED = new Map([
  ['PATCH livestreams', 'one is the order to end, the rest is the operator'],
  ['DELETE pods', 'one is the kubelet, the rest is the operator'],
]);

function named({ scenario, figures, done, seconds }: Played): string {
  switch (scenario) {
    case 'idle':
      return 'nothing is live';
    case 'cold':
      return `${figures.seen?.assigned.count} of 5 a second, no worker waits`;
    case 'warm':
      return `${figures.seen?.assigned.count} of ${figures.rate} a second, all find a worker waiting`;
    case 'burst':
      return `${figures.seen?.assigned.count} at once (let in within ${figures.openSeconds?.toFixed(1)} s), ${figures.warm} workers wait`;
    case 'grow':
      return `${figures.seen?.assigned.count}, 50 on their way at a time`;
    case 'held':
      return `${figures.streams} held for ${seconds.toFixed(0)} s, ${figures.partMs ? `parts each ${figures.partMs} ms` : 'heartbeats and segments alone'}`;
    default:
      return `${done} end at once`;
  }
}

function times(seen: Times | undefined): string {
  if (!seen || seen.count === 0) return '–';
  return [seen.p50, seen.p99, seen.max].map((ms) => (ms ?? Number.NaN).toFixed(0)).join(' / ');
}

function cores({ processes }: Played, name: string): string {
  return processes.find(({ process }) => process === name)?.cores.toFixed(2) ?? '–';
}

function memory({ processes }: Played): string {
  const operator = processes.find(({ process }) => process === 'operator');
  return operator ? `${operator.rssMiB.toFixed(0)} (${operator.peakMiB.toFixed(0)})` : '–';
}

function writes({ requests }: Played): number {
  const written = requests.filter(({ of, verb }) => of.startsWith('livestreams') && !['GET', 'LIST', 'WATCH'].includes(verb));
  return written.reduce((sum, { count }) => sum + count, 0);
}
