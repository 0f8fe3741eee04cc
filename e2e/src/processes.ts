import { readFile, readdir, readlink } from 'node:fs/promises';

/** A process of this machine, as /proc shows it. */
export interface Seen {
  pid: number;
  parent: number;
  command: string;
  environment: string;
}

/** All processes whose environment, command line or working folder names `needle`. */
export async function processesNaming(needle: string): Promise<Seen[]> {
  const found: Seen[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const [stat, command, environment, folder] = await Promise.all([
        readFile(`/proc/${pid}/stat`, 'utf8'),
        readFile(`/proc/${pid}/cmdline`, 'utf8'),
        readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''),
        readlink(`/proc/${pid}/cwd`).catch(() => ''),
      ]);
      if (![command, environment, folder].some((text) => text.includes(needle))) continue;
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (fields[0] === 'Z') continue;
      found.push({ pid, parent: Number(fields[1]), command: command.replaceAll('\0', ' ').trim(), environment });
    } catch {
      // It has gone meanwhile.
    }
  }
  return found;
}

/** The worker process that has this id. */
export async function workerProcess(id: string): Promise<Seen | undefined> {
  const seen = await processesNaming(`--worker-id=${id}`);
  return seen.find((one) => one.command.includes('transcoder-worker'));
}

/** The processes that `parent` started and that are still there. */
export async function childrenOf(parent: number): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const [state, of] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(of) !== parent || state === 'Z') continue;
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    found.push({ pid: Number(entry), command: command.replaceAll('\0', ' ').trim() });
  }
  return found;
}
