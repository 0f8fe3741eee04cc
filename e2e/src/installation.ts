import type { Cluster } from './cluster.ts';
import { until } from './process.ts';

/** The chart as it is installed on the cluster: its roles' pods, its operator's lease and its workers. */
export class Installation {
  readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  kubectl(...args: string[]): Promise<string> {
    return this.cluster.kubectl('--namespace', 'caudal', ...args);
  }

  /** Waits until it is whole: every role's pods, of which none has ever crashed, or the kubelet would let it wait next time, and a worker that waits. */
  async settled(): Promise<void> {
    for (const role of ['operator', 'ingest-router', 'hls-edge', 'api']) {
      const crashed = (await this.#list(`app.kubernetes.io/component=${role}`, '.status.containerStatuses[0].restartCount'))
        .filter(([, restarts]) => Number(restarts) > 0).map(([name]) => name);
      // Not a router's: the publisher would have to leave it.
      if (crashed.length && role !== 'ingest-router') await this.kubectl('delete', 'pod', ...crashed, '--wait=false', '--ignore-not-found');
      await this.kubectl('rollout', 'status', `deployment/caudal-${role}`, '--timeout=120s');
    }
    await until('an operator leads', async () => (await this.podsOf('operator')).includes(await this.leading()));
    await until('a worker waits', async () => (await this.idle()).some(({ ready }) => ready), 60_000);
  }

  /** The pods of a role that run and are not about to go, on one node where that is said. */
  async podsOf(role: string, node?: number): Promise<string[]> {
    const pods = await this.#list(`app.kubernetes.io/component=${role}`, '.spec.nodeName', '.status.phase');
    return pods.filter(([, on, phase]) => phase === 'Running' && (!node || on === `node-${node}`)).map(([name]) => name);
  }

  async readyPodsOf(role: string): Promise<number> {
    return Number(await this.kubectl('get', `deployment/caudal-${role}`, '-o', 'jsonpath={.status.readyReplicas}'));
  }

  async addressOf(pod: string | undefined, port: number): Promise<string> {
    if (!pod) throw new Error('there is no such pod');
    return `${await this.kubectl('get', 'pod', pod, '-o', 'jsonpath={.status.podIP}')}:${port}`;
  }

  async podAt(ip: string): Promise<string> {
    return this.kubectl('get', 'pods', '--field-selector', `status.podIP=${ip}`, '-o', 'jsonpath={.items[0].metadata.name}');
  }

  /** The pod of the operator that leads. */
  async leading(): Promise<string> {
    const holder = await this.kubectl('get', 'lease', 'caudal-operator', '-o', 'jsonpath={.spec.holderIdentity}');
    return holder.split('_')[0] ?? '';
  }

  /** How old the lease's last renewal is, in milliseconds. */
  async leaseAge(): Promise<number> {
    return Date.now() - Date.parse(await this.kubectl('get', 'lease', 'caudal-operator', '-o', 'jsonpath={.spec.renewTime}'));
  }

  /** The workers that wait for a broadcast. */
  async idle(): Promise<{ node: string; ready: boolean }[]> {
    const pods = await this.#list('caudal.dev/worker=idle', '.spec.nodeName', '.status.conditions[?(@.type=="Ready")].status');
    return pods.map(([, node, ready]) => ({ node: node ?? '', ready: ready === 'True' }));
  }

  /** Has the worker that waits be on this node. */
  async idleOn(node: number): Promise<void> {
    await this.onlyOn(node, () => until('the worker that waits is there', async () => {
      const waiting = await this.idle();
      return waiting.length > 0 && waiting.every(({ node: on, ready }) => on === `node-${node}` && ready);
    }, 60_000));
  }

  /** Has the operator that leads be on this node, and the other one on the other node. */
  async leadOn(node: number): Promise<void> {
    const scale = async (replicas: number): Promise<void> => {
      await this.kubectl('scale', 'deployment/caudal-operator', `--replicas=${replicas}`);
      await this.kubectl('rollout', 'status', 'deployment/caudal-operator', '--timeout=60s');
    };
    if (!(await this.podsOf('operator', node)).length) {
      await this.onlyOn(node, () => scale(3));
    }
    // Of several that wait for the lease, any may get it; so only one is left to.
    const [leader] = await this.podsOf('operator', node);
    for (const other of await this.podsOf('operator')) {
      if (other !== leader) await this.kubectl('annotate', 'pod', other, 'controller.kubernetes.io/pod-deletion-cost=-1', '--overwrite');
    }
    await scale(1);
    await until('the operator of that node leads', async () => (await this.leading()) === leader, 60_000);
    await this.onlyOn(3 - node, () => scale(2));
  }

  /** Keeps new pods on one node meanwhile. */
  async onlyOn(node: number, meanwhile: () => Promise<unknown>): Promise<void> {
    const other = `node-${3 - node}`;
    await this.kubectl('cordon', other);
    await meanwhile().finally(() => this.kubectl('uncordon', other));
  }

  /** What its roles have logged since then, and the events. */
  async account(since: number): Promise<string> {
    const logs = await this.kubectl('logs', '--selector', 'app.kubernetes.io/name=caudal', '--tail=-1', '--prefix', '--ignore-errors',
      '--max-log-requests=20', `--since-time=${new Date(since).toISOString()}`);
    return logs + (await this.kubectl('get', 'events', '--sort-by=.lastTimestamp', '-o', 'custom-columns=:.lastTimestamp,:.involvedObject.name,:.reason,:.message'));
  }

  /** Names of the pods with a label that are not about to go, each with these fields. */
  async #list(label: string, ...fields: string[]): Promise<[string, ...string[]][]> {
    const columns = ['.metadata.deletionTimestamp', '.metadata.name', ...fields].map((field) => `{${field}}`).join(' ');
    const pods = await this.kubectl('get', 'pods', '-l', label, '-o', `jsonpath={range .items[*]}${columns}{"\\n"}{end}`);
    return pods.split('\n').map((line) => line.split(' ')).filter(([leaves, name]) => !leaves && name)
      .map(([, name, ...values]) => [name ?? '', ...values]);
  }
}
