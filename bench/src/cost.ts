import { readFile, readdir } from 'node:fs/promises';

/** What a process and all below it have used. */
export interface Cost {
  cpuSeconds: number;
  rssMiB: number;
}

/** Clock ticks a second in /proc, on every Linux that matters. */
const TICKS = 100;

/** A tree of processes, from its root down. */
export async function cost(root: number): Promise<Cost> {
  const parents = new Map<number, number>();
  const costs = new Map<number, Cost>();
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    try {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
      const status = await readFile(`/proc/${pid}/status`, 'utf8');
      parents.set(pid, fields[1] ?? 0);
      costs.set(pid, {
        cpuSeconds: ((fields[11] ?? 0) + (fields[12] ?? 0)) / TICKS,
        rssMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
      });
    } catch {
      // It has gone meanwhile.
    }
  }
  const total: Cost = { cpuSeconds: 0, rssMiB: 0 };
  for (const [pid, own] of costs) {
    let up: number | undefined = pid;
    while (up !== undefined && up > 1 && up !== root) up = parents.get(up);
    if (up !== root) continue;
    total.cpuSeconds += own.cpuSeconds;
    total.rssMiB += own.rssMiB;
  }
  return total;
}

/** CPU seconds of 10 s, and memory at their end, of a tree of processes that is at work. */
export async function costOfTenSeconds(root: number): Promise<Cost> {
  const before = await cost(root);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const after = await cost(root);
  return { cpuSeconds: after.cpuSeconds - before.cpuSeconds, rssMiB: after.rssMiB };
}
