import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { Resolver } from 'node:dns/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { Cluster, clusterScript, pushImage, REMOVAL_MS, traces } from '../src/cluster.ts';
import { Program, until } from '../src/process.ts';

const run = promisify(execFile);

// In CI a machine that cannot run a cluster is a fault of the machine, and the first `up` says which.
const lacking = Cluster.lacking();
const skipped = lacking !== '' && !process.env.CI;
if (skipped) console.warn(`\n*** NOT TESTED: a Kubernetes cluster. ${lacking} ***\n`);

let cluster: Cluster;
let image: string;

describe.skipIf(skipped)('a cluster', () => {
  beforeAll(async () => {
    cluster = await Cluster.up();
    image = await cluster.pushProgram('answer');
    await cluster.apply(pod('one', 'node-1'), pod('two', 'node-2'), service('answer', { app: 'two' }));
    await cluster.kubectl('wait', '--for=condition=Ready', '--timeout=60s', 'pod/one', 'pod/two');
  }, 240_000);

  afterAll(async () => {
    await Cluster.down();
  }, REMOVAL_MS);

  test('has two nodes, both ready', async () => {
    const ready = await cluster.kubectl('get', 'nodes', '-o', `jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}`);
    expect(ready.trim()).toBe('node-1=True node-2=True');
    expect((await run(clusterScript, ['status'])).stdout).toContain(`started by ${clusterScript}`);
  });

  test('runs pods of a pushed image on each node, which reach each other and are reached from the host', async () => {
    for (const [from, to] of [['one', 'two'], ['two', 'one'], ['one', 'one']] as const) {
      expect(await ask(from, await address(to))).toBe(to);
    }
    expect(await askFromHere(await address('one'))).toBe('one');
  });

  test('answers at the address of a service, from every node and from the host', async () => {
    const service = await cluster.field('service/answer', '.spec.clusterIP');
    await until('the service answers pod one', async () => (await ask('one', service)) === 'two');
    await until('the service answers pod two', async () => (await ask('two', service)) === 'two');
    await until('the service answers the host', async () => (await askFromHere(service)) === 'two');
  });

  test('knows services by name', async () => {
    const names = new Resolver();
    names.setServers([new URL(`http://${cluster.registry}`).hostname]);
    const service = await cluster.field('service/answer', '.spec.clusterIP');
    await until('the name is known', async () => (await names.resolve4('answer.default.svc.cluster.local')).includes(service));
  });

  test('lets through what a network policy allows and nothing else', async () => {
    const two = await address('two');
    const refused = async (): Promise<boolean> => ask('one', two).then(() => false, () => true);
    const answered = async (): Promise<boolean> => (await ask('one', two)) === 'two';
    await until('it answers without a policy', answered);
    await cluster.apply(policy({ ingress: [] }));
    await until('a policy that allows nothing refuses', refused);
    // Another pod stays as it was.
    expect(await ask('two', await address('one'))).toBe('one');
    await cluster.apply(policy({ ingress: [{ from: [{ podSelector: { matchLabels: { app: 'one' } } }], ports: [{ port: 80 }] }] }));
    await until('a policy that allows it lets it through', answered);
    await cluster.apply(policy({ ingress: [{ from: [{ podSelector: { matchLabels: { app: 'another' } } }] }] }));
    await until('a policy that allows another refuses', refused);
    await cluster.kubectl('delete', 'networkpolicy', 'guard');
    await until('it answers again without a policy', answered);
  });

  test('runs the image of the program under test, which may do nothing that it need not', async () => {
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'caudal' },
      spec: {
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [{
          name: 'caudal',
          image: await pushImage(),
          command: ['sh', '-euc', 'caudal --version; ffmpeg -version | head -n 1; ls "$CAUDAL_WEB_DIR/index.html"; touch /file || id -u'],
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
        }],
      },
    });
    await cluster.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=120s', 'pod/caudal');
    expect((await cluster.kubectl('logs', 'caudal')).split('\n')).toEqual([
      expect.stringMatching(/^caudal \d/),
      expect.stringMatching(/^ffmpeg version/),
      '/usr/share/caudal/web/index.html',
      expect.stringContaining('Read-only file system'),
      '10001',
      '',
    ]);
  }, 600_000);

  test('is not ended by another checkout, which is told whose it is', async () => {
    const elsewhere = await mkdtemp(path.join(tmpdir(), 'caudal-checkout-'));
    try {
      await cp(path.dirname(clusterScript), elsewhere, { recursive: true });
      for (const command of ['up', 'down']) {
        await expect(run(path.join(elsewhere, 'cluster'), [command])).rejects.toThrow(`${path.dirname(clusterScript)}/cluster down`);
      }
      expect(await ask('one', await address('two'))).toBe('two');
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  test('starts although an earlier start was killed on its way, and is removed without a trace but for its last logs', async () => {
    const work = path.dirname(cluster.kubeconfig);
    await Cluster.down();
    const killed = new Program(clusterScript, ['up']);
    await until('both nodes were started', async () => (await readdir(path.join(work, 'log'))).includes('network-policy-2'));
    await killed.stop('SIGKILL');
    expect(await traces()).not.toEqual([]);

    cluster = await Cluster.up();
    expect(await cluster.kubectl('get', 'nodes', '-o', 'name')).toBe('node/node-1\nnode/node-2\n');
    expect(await cluster.kubectl('get', 'pods', '-o', 'name')).toBe('');

    await Cluster.down();
    expect(await traces()).toEqual([]);
    await expect(run(clusterScript, ['status'])).rejects.toMatchObject({ code: 3 });
    expect((await readdir(work)).sort()).toEqual(['log.previous', 'registry']);
    const logs = await readdir(path.join(work, 'log.previous'));
    expect(logs).toEqual(expect.arrayContaining(['kube-apiserver', 'kubelet-1', 'containerd-2', 'pods-of-node-1']));
    await Cluster.down();
  }, 240_000);
});

/** What pod `from` gets from port 80 of `address`. */
async function ask(from: string, address: string): Promise<string> {
  return cluster.kubectl('exec', from, '--', '/answer', 'ask', address, '80');
}

/** What this very process gets from there. */
async function askFromHere(address: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    connect({ host: address, port: 80, timeout: 2_000 })
      .setEncoding('utf8')
      .on('data', (text) => (answer += text))
      .on('end', () => resolve(answer))
      .on('timeout', () => reject(new Error(`${address} does not answer`)))
      .on('error', reject);
  });
}

async function address(pod: string): Promise<string> {
  return cluster.field(`pod/${pod}`, '.status.podIP');
}

function pod(name: string, node: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      nodeSelector: { 'kubernetes.io/hostname': node },
      terminationGracePeriodSeconds: 0,
      containers: [{ name, image, command: ['/answer', 'serve', '80', name] }],
    },
  };
}

function service(name: string, selector: object): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector, ports: [{ port: 80 }] } };
}

function policy(rules: object): object {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'guard' },
    spec: { podSelector: { matchLabels: { app: 'two' } }, policyTypes: ['Ingress'], ...rules },
  };
}
