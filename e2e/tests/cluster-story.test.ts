import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, register, type Account, type Stream } from '../src/account.ts';
import { Cluster, REMOVAL_MS } from '../src/cluster.ts';
import { encode } from '../src/encoder.ts';
import { LlHlsReader } from '../src/ll-hls-reader.ts';
import { source } from '../src/playlist.ts';
import { Program, until } from '../src/process.ts';

// The platform as Helm installs it, on two real nodes: one broadcast from its first frame to its end. The tests build on each other.
const run = promisify(execFile);

describe('the chart on a real cluster', () => {
  let cluster: Cluster;
  let urls: { api: string; hls: string; rtmp: string };
  let ana: Account;

  beforeAll(async () => {
    const lacking = Cluster.lacking();
    if (lacking) throw new Error(lacking);
    cluster = await Cluster.up();
    urls = await cluster.install();
    ana = await register(urls.api, 'ana');
  }, 480_000);

  afterAll(async () => {
    await Cluster.down();
  }, REMOVAL_MS);

  const kubectl = (...args: string[]): Promise<string> => cluster.kubectl('--namespace', 'caudal', ...args);

  test('a second install of the same changes nothing, and keeps every key', async () => {
    const secrets = async (): Promise<string> => kubectl('get', 'secrets', '-l', 'app.kubernetes.io/managed-by=caudal-keys', '-o', 'yaml');
    const before = await secrets();
    expect(before.match(/^ {4}name: caudal-/gm)?.length).toBe(5);
    await cluster.install();
    expect(await secrets()).toBe(before);
  }, 300_000);

  test('helm test publishes a broadcast of its own and plays it', async () => {
    const helm = path.join(cluster.programs, 'helm');
    const accounts: (string | undefined)[] = [];
    // The second one has the account of the first.
    for (const _ of [1, 2]) {
      const { stdout, stderr } = await run(helm, ['test', 'caudal', '--namespace', 'caudal', '--timeout', '3m'], {
        env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
      });
      // Helm writes a hook's log to either, by its version.
      const said = stdout + stderr;
      expect(said).toContain('played twenty seconds of it');
      accounts.push(/publishing as (\S+)/.exec(said)?.[1]);
      // It leaves no pod behind.
      expect((await kubectl('get', 'pods', '-l', 'app.kubernetes.io/component=test', '-o', 'name')).trim()).toBe('');
    }
    expect(accounts).toEqual([expect.stringMatching(/^helmtest/), accounts[0]]);
  }, 400_000);

  test('a broadcast has a pod of its own, plays outside, and ends, and the api is told of each once', async () => {
    await allOver();
    const before = await reports();
    const phases = new Program(path.join(cluster.programs, 'kubectl'),
      ['--namespace', 'caudal', 'get', 'lst', '--watch-only', '-o', 'jsonpath={.spec.channel} {.status.phase}{"\\n"}'],
      { env: { ...process.env, KUBECONFIG: cluster.kubeconfig } });
    let said = '';
    phases.child.stdout?.on('data', (text: Buffer) => (said += text.toString()));
    const encoder = encode(`${ana.rtmpUrl}/${ana.streamKey}`, { size: '640x360', bitrate: '800k' });
    try {
      const stream = await until('the stream is listed', async () => {
        const streams = await api<Stream[]>(urls.api, 'GET', '/api/streams');
        return streams.find(({ user }) => user.username === 'ana');
      });
      const resource = `lst/s-${stream.id}`;
      expect(stream.streamUrl).toBe(`${urls.hls}/live/${stream.id}/master.m3u8`);
      const worker = await until('it has a worker', () => kubectl('get', resource, '-o', 'jsonpath={.status.worker.pod}'));
      expect(await kubectl('get', 'pod', worker, '-o', 'jsonpath={.metadata.labels.caudal\\.dev/stream}')).toBe(stream.id);

      // A live one counts as ready too: for `kubectl get pods`, and for the budget that keeps it from being evicted.
      expect(await kubectl('get', 'pod', worker, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')).toBe('True');

      const viewer = new LlHlsReader(stream.streamUrl);
      await until('a viewer outside has got fifty parts', () => viewer.parts >= 50);
      await viewer.stop();
      expect(viewer.troubles).toEqual([]);

      await encoder.stop('SIGTERM');
      await until('it has ended', async () => (await kubectl('get', resource, '-o', 'jsonpath={.status.phase}')) === 'Ended', 60_000);
      await until('its pod is gone', async () => !(await kubectl('get', 'pods', '-o', 'name')).includes(`pod/${worker}\n`), 90_000);
      await until('its playlist is closed', async () => (await source(stream.streamUrl)).ended);

      const seen = said.split('\n').filter((line) => line.startsWith('ana ')).map((line) => line.slice(4)).filter(Boolean);
      const story = seen.filter((phase, at) => phase !== seen[at - 1]);
      // A warm worker is there at once; Reconnecting is the wait for an encoder that might come back.
      expect(story.join(' ')).toMatch(/^(Pending )?(Starting )?Live Reconnecting Ending Ended$/);

      expect(await reports()).toEqual({ published: before.published + 1, done: before.done + 1 });
      const after = await api<Stream>(urls.api, 'GET', `/api/streams/${stream.id}`);
      expect(after.isLive).toBe(false);
      expect(after.endedAt).not.toBeNull();
    } finally {
      await phases.stop();
      await encoder.stop();
    }
  }, 240_000);

  /** Waits until every broadcast has ended: what a test publishes then is a broadcast of its own. */
  async function allOver(): Promise<void> {
    await until('every broadcast is over', async () =>
      (await kubectl('get', 'lst', '-o', 'jsonpath={.items[*].status.phase}')).split(' ').every((phase) => ['', 'Ended'].includes(phase)), 60_000);
  }

  /** The pod of ana's broadcast, once it is live. */
  const liveWorker = (): Promise<string> =>
    kubectl('get', 'lst', '--field-selector', 'status.phase=Live', '-o', 'jsonpath={.items[?(@.spec.channel=="ana")].status.worker.pod}');

  /** How many reports of a broadcast's beginning and end the api has taken. */
  async function reports(): Promise<{ published: number; done: number }> {
    const metrics = await kubectl('exec', 'deployment/caudal-api', '--', 'bash', '-c',
      'exec 3<>/dev/tcp/127.0.0.1/9090; printf "GET /metrics HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3');
    const count = (report: string): number =>
      [...metrics.matchAll(new RegExp(`^caudal_api_request_duration_seconds_count\\{.*route="/internal/ingest/${report}",status="2.*\\} (\\d+)`, 'gm'))]
        .reduce((sum, [, found]) => sum + Number(found), 0);
    return { published: count('published'), done: count('done') };
  }

  test('a worker reaches neither the API server nor the api nor another worker', async () => {
    const encoder = encode(`${ana.rtmpUrl}/${ana.streamKey}`, { size: '320x180', bitrate: '300k' });
    try {
      const one = await until('ana has a worker', liveWorker);
      const other = await until('another one waits', () =>
        kubectl('get', 'pods', '-l', 'caudal.dev/worker=idle', '--field-selector', 'status.phase=Running', '-o', 'jsonpath={.items[0].status.podIP}'));
      const pods = await kubectl('get', 'pods', '-o', 'jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\\n"}{end}');
      const address = (name: string): string => new RegExp(`^caudal-${name}\\S* (\\S+)$`, 'm').exec(pods)?.[1] ?? '';
      const api = address('api');
      const reaches = async (from: string, to: string): Promise<boolean> => {
        const words = await kubectl('exec', from, '--', 'bash', '-c',
          `timeout 3 bash -c ': </dev/tcp/${to.replace(':', '/')}' 2>/dev/null && echo yes || echo no`);
        // Not whatever else can go wrong, such as a pod that is not there.
        expect(words).toMatch(/^(yes|no)\n$/);
        return words === 'yes\n';
      };
      const router = /^caudal-ingest-router\S+/m.exec(pods)?.[0] ?? '';
      // The ways are there, for those that have business on them.
      expect(await reaches(router, '10.96.0.1:443')).toBe(true);
      expect(await reaches(router, `${api}:3001`)).toBe(true);
      expect(await reaches(router, `${other}:8080`)).toBe(true);
      for (const to of ['10.96.0.1:443', '10.201.0.1:6443', `${api}:3000`, `${api}:3001`, `${other}:8080`, `${other}:1935`]) {
        expect([to, await reaches(one, to)]).toEqual([to, false]);
      }
      // Nor does a role go where it has no business.
      expect(await reaches(router, `${api}:9090`)).toBe(false);
      await expect(kubectl('exec', one, '--', 'ls', '/var/run/secrets/kubernetes.io')).rejects.toThrow(/No such file/);
    } finally {
      await encoder.stop();
    }
  }, 200_000);

  test('a live worker is not evicted, and one that is deleted hands its broadcast over', async () => {
    await allOver();
    const encoder = encode(`${ana.rtmpUrl}/${ana.streamKey}`, { size: '320x180', bitrate: '300k' });
    let viewer: LlHlsReader | undefined;
    try {
      const one = await until('ana has a worker', liveWorker);
      const stream = await kubectl('get', 'pod', one, '-o', 'jsonpath={.metadata.labels.caudal\\.dev/stream}');
      const watched = (viewer = new LlHlsReader(`${urls.hls}/live/${stream}/master.m3u8`));
      await until('a viewer watches', () => watched.parts >= 20);
      // What `kubectl drain` does.
      const evict = new Program('sh', ['-c', 'echo "$0" | "$1" create --raw "/api/v1/namespaces/caudal/pods/$2/eviction" -f -',
        JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: one, namespace: 'caudal' } }),
        path.join(cluster.programs, 'kubectl'), one], { env: { ...process.env, KUBECONFIG: cluster.kubeconfig } });
      expect(await evict.exited()).not.toBe(0);
      expect(evict.stderr).toContain('disruption budget');

      await kubectl('delete', 'pod', one, '--wait=false');
      await until('another worker has it', async () => {
        const worker = await liveWorker();
        return worker && worker !== one;
      });
      const before = watched.parts;
      await until('the viewer goes on', () => watched.parts >= before + 30);
      expect(watched.troubles).toEqual([]);
      expect(encoder.running).toBe(true);
    } finally {
      await viewer?.stop();
      await encoder.stop();
    }
  }, 200_000);

  test('a node is drained under a live broadcast, and neither its publisher nor its viewers notice', async () => {
    await allOver();
    const cordoned = async (node: string, meanwhile: () => Promise<unknown>): Promise<void> => {
      await kubectl('cordon', node);
      await meanwhile().finally(() => kubectl('uncordon', node));
    };
    // A router that is evicted drops its publishers, so all of them go to the node that stays, and the worker to the one that goes.
    await cordoned('node-2', async () => {
      for (const role of ['ingest-router', 'hls-edge']) {
        await kubectl('rollout', 'restart', `deployment/caudal-${role}`);
        await kubectl('rollout', 'status', `deployment/caudal-${role}`, '--timeout=120s');
      }
    });
    const idle = async (): Promise<string[]> => (await kubectl('get', 'pods', '-l', 'caudal.dev/worker=idle', '-o',
      'jsonpath={range .items[*]}{.spec.nodeName} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}')).trim().split('\n');
    await cordoned('node-1', () => until('the idle worker is replaced elsewhere', async () => (await idle()).join() === 'node-2 True', 60_000));

    const encoder = encode(`${ana.rtmpUrl}/${ana.streamKey}`, { size: '320x180', bitrate: '300k' });
    let viewer: LlHlsReader | undefined;
    try {
      const one = await until('ana has a worker', liveWorker);
      const on = (pod: string): Promise<string> => kubectl('get', 'pod', pod, '-o', 'jsonpath={.spec.nodeName}');
      expect(await on(one)).toBe('node-2');
      const stream = await kubectl('get', 'pod', one, '-o', 'jsonpath={.metadata.labels.caudal\\.dev/stream}');
      const publisher = (): Promise<string> => kubectl('get', `lst/s-${stream}`, '-o', 'jsonpath={.spec.ingest.session} {.spec.ingest.generation}');
      const before = await publisher();
      const watched = (viewer = new LlHlsReader(`${urls.hls}/live/${stream}/master.m3u8`));
      await until('a viewer watches', () => watched.parts >= 20);

      await kubectl('drain', 'node-2', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=150s');

      const two = await liveWorker();
      expect([two === one, await on(two)]).toEqual([false, 'node-1']);
      expect(await kubectl('get', 'pods', '--field-selector', 'spec.nodeName=node-2,status.phase=Running', '-o', 'name')).toBe('');
      const parts = watched.parts;
      await until('the viewer goes on', () => watched.parts >= parts + 30);
      expect(watched.troubles).toEqual([]);
      expect(encoder.running).toBe(true);
      expect(await publisher()).toBe(before);
      const events = await kubectl('get', 'events', '--field-selector', `involvedObject.name=s-${stream}`, '-o',
        'jsonpath={range .items[*]}{.reason}: {.message}{"\\n"}{end}');
      expect(events).toContain('LeavesNode: ana: leaves node node-2, which is cordoned');
      expect(events).toContain('Moved: ana: goes over to another worker (epoch 2)');
    } finally {
      await viewer?.stop();
      await encoder.stop();
      await kubectl('uncordon', 'node-2');
    }
  }, 400_000);

  test('nobody was refused anything by the API server', async () => {
    for (const role of ['operator', 'ingest-router', 'hls-edge', 'api']) {
      const log = await kubectl('logs', '--selector', `app.kubernetes.io/component=${role}`, '--tail=-1', '--prefix');
      expect(log).toContain(`"role":"${role}"`);
      expect(log.split('\n').filter((line) => /the API server refuses it|403 Forbidden|is forbidden/.test(line))).toEqual([]);
    }
  });

  /** `helm uninstall`; returns what its hook said. */
  async function uninstall(): Promise<string> {
    const helm = ['uninstall', 'caudal', '--namespace', 'caudal', '--wait', '--timeout', '5m'];
    const { stderr } = await run(path.join(cluster.programs, 'helm'), helm, { env: { ...process.env, KUBECONFIG: cluster.kubeconfig } });
    // The pool is gone, and with it go its idle workers. Helm leaves the pod of its test.
    await until('no pod is left', async () => !(await kubectl('get', 'pods', '-o', 'name')).replace('pod/caudal-test-broadcast\n', ''), 120_000);
    return stderr;
  }

  /** What ana's live broadcast is called, while `during` runs. */
  async function whileLive<T>(during: (resource: string) => Promise<T>): Promise<T> {
    const encoder = encode(`${ana.rtmpUrl}/${ana.streamKey}`, { size: '320x180', bitrate: '300k' });
    try {
      const worker = await until('ana has a worker', liveWorker);
      return await during(`lst/s-${await kubectl('get', 'pod', worker, '-o', 'jsonpath={.metadata.labels.caudal\\.dev/stream}')}`);
    } finally {
      await encoder.stop();
    }
  }

  const held = (resource: string): Promise<string> =>
    kubectl('get', resource, '-o', 'jsonpath={.status.phase} {.spec.endReason} {.metadata.finalizers}');

  test('an uninstall ends a live broadcast in order, and leaves keys, media and definitions, and nothing that runs', async () => {
    await allOver();
    await whileLive(async (resource) => {
      const said = await uninstall();
      expect(said).toContain('broadcasts ended: 1; still open: 0');
      expect((await held(resource)).replace('[]', '').trim()).toBe('Ended shutdown');
    });
    expect((await kubectl('get', 'secrets', '-l', 'app.kubernetes.io/managed-by=caudal-keys', '-o', 'name')).trim().split('\n').length).toBe(5);
    await kubectl('get', 'pvc/media', 'crd/livestreams.caudal.dev', 'crd/workerpools.caudal.dev');
    expect(await kubectl('get', 'validatingadmissionpolicies,priorityclasses', '-l', 'app.kubernetes.io/name=caudal', '-o', 'name')).toBe('');
    expect(await kubectl('get', 'jobs,roles,rolebindings,serviceaccounts', '-l', 'app.kubernetes.io/name=caudal', '-o', 'name')).toBe('');
  }, 300_000);

  test('an uninstall without an operator lets go of a live broadcast, which the next installation ends', async () => {
    await cluster.install();
    const resource = await whileLive(async (live) => {
      await kubectl('scale', 'deployment/caudal-operator', '--replicas=0');
      await until('no operator runs', async () => !(await kubectl('get', 'pods', '-l', 'app.kubernetes.io/component=operator', '-o', 'name')), 60_000);
      expect(await uninstall()).toContain(`${live.slice(4)}: let go of`);
      return live;
    });
    expect((await held(resource)).replace('[]', '').trim()).toBe('Live shutdown');
    await cluster.install();
    await until('it has ended', async () => (await held(resource)).startsWith('Ended '), 60_000);
  }, 500_000);

  test('a namespace with a live broadcast can be deleted', async () => {
    // Kubernetes looks again after half of the longest time that a pod may take to end: a router's 345 s.
    await whileLive(() => kubectl('delete', 'namespace', 'caudal', '--timeout=280s'));
    expect(await kubectl('get', 'namespaces', '-o', 'name')).not.toContain('namespace/caudal\n');
  }, 380_000);
});
