import { execFileSync } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';

import { pause } from './table.ts';

/** What processes have used. */
export interface Cost {
  cpuSeconds: number;
  rssMiB: number;
}

/** One process, as /proc shows it. */
export interface Process {
  pid: number;
  parent: number;
  command: string;
  /** Its own time, and of its children that have ended: what starts, works and goes counts too. */
  cpuSeconds: number;
  rssMiB: number;
}

/** Clock ticks a second in /proc, on every Linux that matters. */
const TICKS = 100;

/** A process and all below it, itself first. */
export async function tree(root: number): Promise<Process[]> {
  const all = new Map<number, Process>();
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    try {
      const [stat, status, command] = await Promise.all([
        readFile(`/proc/${pid}/stat`, 'utf8'),
        readFile(`/proc/${pid}/status`, 'utf8'),
        readFile(`/proc/${pid}/cmdline`, 'utf8'),
      ]);
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
      const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0);
      all.set(pid, {
        pid,
        parent: fields[1] ?? 0,
        command: command.replaceAll('\0', ' ').trim(),
        cpuSeconds: ticks / TICKS,
        rssMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
      });
    } catch {
      // It has gone meanwhile.
    }
  }
  const below = (one: Process): boolean => {
    for (let up: Process | undefined = one; up; up = all.get(up.parent)) if (up.pid === root) return true;
    return false;
  };
  return [...all.values()].filter(below).sort((a, b) => Number(b.pid === root) - Number(a.pid === root));
}

/** All of a tree, or those of its processes that `which` names. */
export async function cost(root: number, which: (one: Process) => boolean = () => true): Promise<Cost> {
  const total: Cost = { cpuSeconds: 0, rssMiB: 0 };
  for (const one of (await tree(root)).filter(which)) {
    total.cpuSeconds += one.cpuSeconds;
    total.rssMiB += one.rssMiB;
  }
  return total;
}

/** Cores that were busy for `seconds`, and memory at their end. */
export async function load(
  root: number,
  seconds: number,
  which?: (one: Process) => boolean,
): Promise<{ cores: number; rssMiB: number }> {
  const before = await cost(root, which);
  const from = performance.now();
  await pause(seconds * 1000);
  const after = await cost(root, which);
  const cores = (after.cpuSeconds - before.cpuSeconds) / ((performance.now() - from) / 1000);
  return { cores, rssMiB: after.rssMiB };
}

/** Only the process itself, of what [`tree`] finds. */
export const itself = (root: number) => (one: Process) => one.pid === root;

/** Ties a process with all its threads to one core. */
export function pin(pid: number, core: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(core), String(pid)], { stdio: 'ignore' });
}

/** Lets it run anywhere again. */
export function unpin(pid: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', '0-1023', String(pid)], { stdio: 'ignore' });
}
