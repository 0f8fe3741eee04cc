import { execFile, spawnSync } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { until } from './process.ts';

const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, '../..');

/** The script that starts and removes this machine's cluster. */
export const clusterScript = path.join(repository, 'e2e/cluster/cluster');

/** The real cluster of this machine, for as long as a test needs it. */
export class Cluster {
  private constructor(
    readonly kubeconfig: string,
    /** The folder of kubectl and the other programs. */
    readonly programs: string,
    readonly registry: string,
  ) {}

  /** What this machine lacks to run one; empty when it can. */
  static lacking(): string {
    const { status, stderr } = spawnSync(clusterScript, ['check'], { encoding: 'utf8' });
    return status === 0 ? '' : stderr.trim();
  }

  static async up(): Promise<Cluster> {
    const { stdout } = await run(clusterScript, ['up']);
    const places = new Map(stdout.trim().split('\n').map((line) => line.split('=', 2) as [string, string]));
    const place = (name: string): string => {
      const value = places.get(name);
      if (!value) throw new Error(`\`cluster up\` does not say ${name}:\n${stdout}`);
      return value;
    };
    return new Cluster(place('KUBECONFIG'), path.dirname(place('KUBECTL')), place('REGISTRY'));
  }

  /** Removes it, whether or not it ever got up. */
  static async down(): Promise<void> {
    await run(clusterScript, ['down']);
  }

  async kubectl(...args: string[]): Promise<string> {
    const { stdout } = await run(path.join(this.programs, 'kubectl'), args, { env: { ...process.env, KUBECONFIG: this.kubeconfig } });
    return stdout;
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

  /** Pushes an image that holds one static program of the cluster's own; returns what `image:` is to say. */
  async pushProgram(name: string): Promise<string> {
    const image = `${this.registry}/${name}:1`;
    await run('sh', ['-euc', 'tar -C "$1" -c "$2" | "$1/crane" append --insecure -f - -t "$3"', 'sh', this.programs, name, image]);
    return image;
  }
}

/** Makes the image of the program and the pages under test, and pushes it; returns what `image:` is to say. */
export async function pushImage(): Promise<string> {
  const { CAUDAL_BIN: program, CAUDAL_WEB_DIR: pages } = process.env;
  if (!program || !pages) throw new Error('CAUDAL_BIN and CAUDAL_WEB_DIR must name program and pages: run this by `make cluster-test`');
  const { stdout } = await run(path.join(repository, 'e2e/cluster/build-image'), [program, pages]);
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
