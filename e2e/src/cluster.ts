import { execFile, spawnSync } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { Program, until } from './process.ts';
import { childrenOf } from './processes.ts';

const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, '../..');

/** The script that starts and removes this machine's cluster. */
export const clusterScript = path.join(repository, 'e2e/cluster/cluster');

/** For [Cluster.down], which takes seconds on a machine at rest, and has taken a minute beside compilers. */
export const REMOVAL_MS = 180_000;

/** What is upgraded from. */
export interface Release {
  chart: string;
  program: string;
}

/** The release before, where CAUDAL_BEFORE names a checkout of it and CAUDAL_BEFORE_BIN its program. */
export function releaseBefore(): Release | undefined {
  const { CAUDAL_BEFORE: checkout, CAUDAL_BEFORE_BIN: program } = process.env;
  return checkout && program ? { chart: path.join(checkout, 'charts/caudal'), program } : undefined;
}

/** The real cluster of this machine, for as long as a test needs it. */
export class Cluster {
  private constructor(
    readonly kubeconfig: string,
    /** The folder of kubectl and the other programs. */
    readonly programs: string,
    readonly registry: string,
    /** A PostgreSQL that pods reach. */
    readonly databaseUrl: string,
  ) {}

  /** What this machine lacks to run one; empty when it can. */
  static lacking(): string {
    const { status, stderr } = spawnSync(clusterScript, ['check'], { encoding: 'utf8' });
    return status === 0 ? '' : stderr.trim();
  }

  static async up(): Promise<Cluster> {
    const { stdout } = await run(clusterScript, ['up']);
    const place = places(stdout);
    return new Cluster(place('KUBECONFIG'), path.dirname(place('KUBECTL')), place('REGISTRY'), place('DATABASE_URL'));
  }

  /** Removes it, whether or not it ever got up. */
  static async down(): Promise<void> {
    await run(clusterScript, ['down']);
  }

  async kubectl(...args: string[]): Promise<string> {
    const { stdout } = await run(path.join(this.programs, 'kubectl'), args, { env: { ...process.env, KUBECONFIG: this.kubeconfig } });
    return stdout;
  }

  /** What a watch of resources says of them, a line for each change. */
  watch(resources: string[], jsonpath: string): Watch {
    return new Watch(new Program(path.join(this.programs, 'kubectl'),
      ['--namespace', 'caudal', 'get', ...resources, '--watch', '-o', `jsonpath=${jsonpath}{"\\n"}`],
      { env: { ...process.env, KUBECONFIG: this.kubeconfig } }));
  }

  async apply(...resources: object[]): Promise<void> {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: resources });
    const applying = run(path.join(this.programs, 'kubectl'), ['apply', '-f', '-'], {
      env: { ...process.env, KUBECONFIG: this.kubeconfig },
    });
    applying.child.stdin?.end(list);
    await applying;
  }

  /** One field of a resource, once it is there and not empty. */
  async field(resource: string, jsonpath: string): Promise<string> {
    return until(`${resource} has ${jsonpath}`, () => this.kubectl('get', resource, '-o', `jsonpath={${jsonpath}}`));
  }

  /** Installs the chart with the program and the pages under test; says where people reach it. */
  async install(...helm: string[]): Promise<{ api: string; hls: string; rtmp: string }> {
    return this.installImage(await pushImage(), ...helm);
  }

  /** The same of an older release, but for the pages. */
  async installRelease({ chart, program }: Release, ...helm: string[]): Promise<{ api: string; hls: string; rtmp: string }> {
    return this.#install(chart, await pushImage('caudal:test', program), ...helm);
  }

  /** Installs the chart, or upgrades it, with this image. */
  async installImage(image: string, ...helm: string[]): Promise<{ api: string; hls: string; rtmp: string }> {
    return this.#install(path.join(repository, 'charts/caudal'), image, ...helm);
  }

  async #install(chart: string, image: string, ...helm: string[]): Promise<{ api: string; hls: string; rtmp: string }> {
    const { stdout } = await run(path.join(repository, 'e2e/cluster/install'), [image, this.databaseUrl, ...helm], {
      env: { ...process.env, CHART: chart },
    });
    const place = places(stdout);
    // A busy node leads its ports to a pod a moment after the pod is ready.
    await until('the pages are reached', () => fetch(place('API_URL')).then(({ ok }) => ok, () => false));
    return { api: place('API_URL'), hls: place('HLS_URL'), rtmp: place('RTMP_URL') };
  }

  /** The processes of a pod's containers, which are this machine's too; not the one that keeps its namespaces. */
  async processes(pod: string): Promise<number[]> {
    const uid = await this.kubectl('--namespace', 'caudal', 'get', 'pod', pod, '-o', 'jsonpath={.metadata.uid}');
    return inCgroup(`/pod${uid}/`);
  }

  /** Ends what a pod runs as the kernel does when memory is short: without a word. The kubelet starts it again, but no worker. */
  async kill(pod: string): Promise<void> {
    kill(await this.processes(pod));
  }

  /** Ends one of the cluster's own programs, which is started again. */
  async restart(name: string): Promise<void> {
    kill(await daemon(name));
  }

  /** Stops the database for as long as `meanwhile` takes: it answers nobody, and takes no connection. */
  async withoutDatabase<T>(meanwhile: () => Promise<T>): Promise<T> {
    const [postmaster] = await daemon('postgres');
    if (!postmaster) throw new Error('no database runs');
    const family = [postmaster, ...(await childrenOf(postmaster)).map(({ pid }) => pid)];
    kill(family, 'SIGSTOP');
    try {
      return await meanwhile();
    } finally {
      kill(family, 'SIGCONT');
    }
  }

  /** Takes a node's power away, or gives it back. */
  async power(node: number, state: 'on' | 'off'): Promise<void> {
    await run(clusterScript, ['power', String(node), state]);
  }

  /** Pushes an image that holds one static program of the cluster's own; returns what `image:` is to say. */
  async pushProgram(name: string): Promise<string> {
    const image = `${this.registry}/${name}:1`;
    await run('sh', ['-euc', 'tar -C "$1" -c "$2" | "$1/crane" append --insecure -f - -t "$3"', 'sh', this.programs, name, image]);
    return image;
  }
}

/** Sends processes a signal; one that has ended meanwhile needs none. */
export function kill(processes: number[], signal: NodeJS.Signals = 'SIGKILL'): void {
  for (const pid of processes) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** The processes of one program of the cluster, children of theirs left out. */
async function daemon(program: string): Promise<number[]> {
  const found = new Map<number, string>();
  for (const pid of await inCgroup('/caudal-cluster/daemons')) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (stat.includes(`(${program.slice(0, 15)})`)) found.set(pid, stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '');
  }
  return [...found].filter(([, parent]) => !found.has(Number(parent))).map(([pid]) => pid);
}

/** The processes whose cgroup is, or lies in, one of a path that has `part` in it. */
async function inCgroup(part: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const [groups, name] = await Promise.all([
      readFile(`/proc/${entry}/cgroup`, 'utf8').catch(() => ''),
      readFile(`/proc/${entry}/comm`, 'utf8').catch(() => ''),
    ]);
    if (groups.includes(part) && name.trim() !== 'pause') found.push(Number(entry));
  }
  return found;
}

/** A watch of resources that goes on until it is stopped. */
export class Watch {
  said = '';
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
    program.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.said += text));
  }

  /** Does something in the very moment in which the watch first says this; returns what it said. */
  async first(words: RegExp, act: () => void): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = words.exec(this.said)?.[0];
        if (found === undefined) return;
        this.#program.child.stdout?.off('data', look);
        act();
        resolve(found);
      };
      this.#program.child.stdout?.on('data', look);
      void this.#program.exited().then(() => reject(new Error(`the watch ended: ${this.#program.stderr}`)));
      look();
    });
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }
}

/** What a script said, a NAME=value a line. */
function places(stdout: string): (name: string) => string {
  const said = new Map(stdout.trim().split('\n').map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)] as const;
  }));
  return (name) => {
    const value = said.get(name);
    if (!value) throw new Error(`the script does not say ${name}:\n${stdout}`);
    return value;
  };
}

/** Makes the image of the program and the pages under test, and pushes it; returns what `image:` is to say. */
export async function pushImage(name = 'caudal:test', program = process.env.CAUDAL_BIN): Promise<string> {
  const pages = process.env.CAUDAL_WEB_DIR;
  if (!program || !pages) throw new Error('CAUDAL_BIN and CAUDAL_WEB_DIR must name program and pages: run this by `make cluster-test`');
  const { stdout } = await run(path.join(repository, 'e2e/cluster/build-image'), [program, pages, name]);
  return stdout.trim();
}

/** Everything of a cluster that a machine can hold, as names: what `cluster down` must leave nothing of. */
export async function traces(): Promise<string[]> {
  const [links, namespaces, mounts, groups] = await Promise.all([
    readdir('/sys/class/net'),
    readdir('/run/netns').catch(() => []),
    readFile('/proc/self/mounts', 'utf8'),
    run('find', ['/sys/fs/cgroup', '-maxdepth', '2', '-name', 'caudal-cluster*']),
  ]);
  const routes = (await run('ip', ['route'])).stdout.split('\n').filter((route) => /^10\.(201|244|96)\./.test(route));
  const programs: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (/\/var\/lib\/caudal-cluster|\/run\/caudal-cluster\//.test(command)) programs.push(`process ${command.replaceAll('\0', ' ')}`);
  }
  return [
    ...links.filter((link) => /^caudal(0$|-n\d)/.test(link)).map((link) => `interface ${link}`),
    ...namespaces.filter((namespace) => namespace.startsWith('caudal-node-')).map((namespace) => `namespace ${namespace}`),
    ...mounts.split('\n').filter((mount) => mount.includes('caudal-cluster')).map((mount) => `mount ${mount}`),
    ...groups.stdout.split('\n').filter(Boolean).map((group) => `cgroup ${group}`),
    ...routes.map((route) => `route ${route}`),
    ...programs,
  ];
}
