import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { ApiServer, chart, gatewayDefinitions, helm, HELMS, Kubectl, render, type Resource } from '../src/chart.ts';
import { Program, until } from '../src/process.ts';

// The Helm chart without nodes: what it renders, and what a real API server says to that. cluster-story.test.ts installs it.
// `npm --prefix e2e run test:chart -- -u` writes the golden renders anew.
const sets = ['defaults', 'bucket', 'sts', 'node-port', 'gateway', 'everything'] as const;
/** Of kinds that the Prometheus operator brings, this API server knows nothing. */
const UNKNOWN_OFF = 'monitoring.podMonitor.enabled=false,monitoring.rules.enabled=false';
const LIVE_STREAMS = '/apis/caudal.dev/v1alpha1/namespaces/caudal/livestreams';
const values = (set: string): string[] => ['--values', path.join(import.meta.dirname, 'chart', `${set}.yaml`)];

test.each(sets.flatMap((set) => HELMS.map((program) => [set, program] as const)))('lints with the values of %s by %s', async (set, program) => {
  expect(await helm(['lint', '--strict', chart, ...values(set)], undefined, program)).toContain('0 chart(s) failed');
});

test("every pod of ours runs as the image's user", async () => {
  const [, user] = /^USER (\d+):/m.exec(await readFile(path.resolve(chart, '../../Containerfile'), 'utf8')) ?? [];
  const rendered = await render(...values('bucket'));
  // With a database and a Redis of others, all pods are ours.
  expect(new Set([...rendered.matchAll(/runAsUser: (\d+)/g)].map(([, found]) => found))).toEqual(new Set([user]));
});

test.each(sets)('renders as it did with the values of %s', async (set) => {
  const rendered = await render(...values(set));
  await expect(rendered).toMatchFileSnapshot(`chart/${set}.rendered.yaml`);
  expect(await helm(['template', 'caudal', chart, '--namespace', 'caudal', ...values(set)], undefined, 'helm-4')).toBe(rendered);
});

test.each([
  // By the schema: names, types and forms.
  ['a name that is not there', 'image.tga=1', /additional properties 'tga' not allowed/],
  ['a name that is not there, of a worker', 'workerPool.template.nodeselector.video=yes', /additional properties 'nodeselector' not allowed/],
  ['a repository with its tag', 'image.repository=registry.example.org/caudal:1', /image.repository/],
  ['a repository that is a page', 'image.repository=https://registry.example.org/caudal', /image.repository/],
  ['an address that OBS cannot use', 'urls.rtmp=http://example.org', /rtmp/],
  ['an address with a path', 'urls.hls=https://example.org/', /urls.hls/],
  ['a kind of Service that is none', 'rtmp.service.type=Loadbalancer', /LoadBalancer/],
  ['a bucket that is an address', 'storage.s3.bucket=s3://media', /bucket/],
  ['a bucket at a server without a scheme', 'storage.s3.bucket=media,storage.s3.endpoint=minio:9000', /endpoint/],
  ['a role that is no ARN', 'storage.s3.bucket=media,storage.sts.roleArn=caudal-worker', /roleArn/],
  ['a size that is none', 'storage.volume.size=0', /volume.size/],
  ["a name that is no Secret's", 'database.existingSecret=My_Database', /existingSecret/],
  ['no key of the Secret', 'database.key=', /database.key/],
  ['a sender that is no address', 'mail.from=Caudal', /mail.from/],
  ['a registration that is none', 'registration=off', /registration/],
  ['an image that is empty', 'redis.builtIn.image=', /redis.builtIn.image/],
  ['proxies that are no addresses', 'rtmp.proxies={10.0.0.300}', /rtmp.proxies/],
  ['a proxy by its name', 'ingress.trustedProxies={ingress-nginx}', /trustedProxies/],
  ['more warm workers than the API server takes', 'workerPool.warm.max=2000', /warm.max/],
  ["a rung with the source's name", 'workerPool.ladder[0].name=source,workerPool.ladder[0].height=720,workerPool.ladder[0].bitrate=2800000', /ladder/],
  ...['operator', 'ingestRouter', 'hlsEdge', 'api'].map((role) => [`no ${role} at all`, `${role}.replicas=0`, /replicas/] as const),
  ['an autoscaler without a least', 'hlsEdge.autoscaling.minReplicas=0', /minReplicas/],
  ['resources of another kind', 'api.resources.request.cpu=1', /'request' not allowed/],
  ['an amount that is none', 'api.resources.limits.memory=512MB', /resources.limits.memory/],
  ["a time of day that is no CronJob's", 'janitor.schedule=daily', /janitor.schedule/],
  ['policies for no port', 'networkPolicies.s3.ports=null', /s3/],
  ['a priority of the system', 'priorityClass.value=2000000000', /priorityClass.value/],
  ['an interval that is none', 'monitoring.podMonitor.interval=30', /interval/],
  // By the chart's own rules, one of which may need several values.
  ['no image', 'image.repository=', /image.repository is empty, and no public image of Caudal is offered yet/],
  ['pages that may not load their streams', 'urls.web=https://example.org', /urls.hls is http:\/\/caudal.local, which browsers do not load/],
  ['RTMPS without a certificate', 'urls.rtmp=rtmps://example.org:1936/live', /without rtmp.tls.secret nobody speaks RTMPS/],
  ['RTMPS at the port that encoders take', 'urls.rtmp=rtmps://example.org/live,rtmp.tls.secret=tls', /write rtmps:\/\/example.org:1936\/live/],
  ['RTMPS that a load balancer speaks, at a port that it has not', 'urls.rtmp=rtmps://example.org/live,rtmp.service.annotations.ssl-cert=arn', /write rtmps:\/\/example.org:1935\/live/],
  ['load balancers that are everybody', 'rtmp.proxies={0.0.0.0/0}', /rtmp.proxies has 0.0.0.0\/0, so everybody could name any address/],
  ['a port of the nodes without RTMPS', 'rtmp.service.type=NodePort,rtmp.service.tlsNodePort=30936', /tlsNodePort needs rtmp.tls.secret/],
  ['a port of the nodes that no Service opens', 'api.service.nodePort=30300', /api.service.nodePort is 30300, but a Service of type ClusterIP/],
  ['one port of the nodes for two', 'api.service.type=NodePort,api.service.nodePort=30300,hlsEdge.service.type=NodePort,hlsEdge.service.nodePort=30300',
    /api.service.nodePort is the port of hlsEdge.service.nodePort too/],
  ['ranges that nobody holds publishers to', 'rtmp.service.type=NodePort,rtmp.service.loadBalancerSourceRanges={203.0.113.0/24}', /rtmp.service.loadBalancerSourceRanges holds for type LoadBalancer alone/],
  ['ranges that nobody holds viewers to', 'hlsEdge.service.loadBalancerSourceRanges={203.0.113.0/24}', /hlsEdge.service.loadBalancerSourceRanges holds/],
  ['an Ingress whose word nobody takes', 'urls.web=http://a.example.org,urls.hls=http://b.example.org,ingress.enabled=true', /ingress.trustedProxies is empty, so all visitors would share/],
  ['a proxy that is everybody', 'ingress.enabled=true,ingress.trustedProxies={0.0.0.0/0}', /ingress.trustedProxies has 0.0.0.0\/0, so everybody could name any address/],
  ['proxies of an Ingress that the chart does not make', 'ingress.trustedProxies={10.0.0.0/8,10.1.0.1}',
    /for an Ingress of your own, write api.env.CAUDAL_TRUSTED_PROXIES and hlsEdge.env.CAUDAL_TRUSTED_PROXIES: "10.0.0.0\/8,10.1.0.1"/],
  ['proxies of a Gateway beside an Ingress', 'ingress.enabled=true,ingress.trustedProxies={10.0.0.0/8},gateway.trustedProxies={10.1.0.0/16}',
    /write these addresses into ingress.trustedProxies/],
  ...['api', 'hlsEdge'].flatMap((role) => [
    [`a way past an Ingress to the ${role}`, `ingress.enabled=true,ingress.trustedProxies={10.0.0.0/8},${role}.service.type=NodePort`,
      new RegExp(`${role}.service.type is NodePort, by which visitors come past ingress with a node's address`)] as const,
    [`a way past a Gateway to the ${role}`, 'gateway.enabled=true,gateway.parentRefs[0].name=public,gateway.trustedProxies={10.0.0.0/8},' +
      `${role}.service.type=LoadBalancer,${role}.service.externalTrafficPolicy=Cluster`, new RegExp(`${role}.service.type is LoadBalancer, by which`)] as const,
  ]),
  ['an Ingress for an address', 'ingress.enabled=true,urls.web=http://192.0.2.10', /urls.web has the host 192.0.2.10, but ingress.enabled/],
  ['a Gateway that nobody names', 'gateway.enabled=true', /gateway.parentRefs/],
  ['a bucket and a volume', 'storage.s3.bucket=media,storage.volume.existingClaim=media', /are both set/],
  ['a bucket without a region', 'storage.s3.bucket=media,storage.s3.region=', /storage.s3.region is empty/],
  ['a bucket without keys', 'storage.s3.bucket=media,storage.s3.secret=', /storage.s3.secret is empty/],
  ['a role without a bucket', 'storage.sts.roleArn=arn:aws:iam::123456789012:role/w', /storage.sts.roleArn needs storage.s3.bucket/],
  ['a session of a minute', 'storage.sts.duration=1m', /storage.sts.duration is 1m: write from 15m to 12h/],
  ['a bucket at a port that its policies cut off', 'storage.s3.bucket=media,storage.s3.endpoint=https://minio:9000',
    /at port 9000, which networkPolicies.s3.ports does not let through/],
  ['a bucket at the port of http, likewise', 'storage.s3.bucket=media,storage.s3.endpoint=http://minio', /at port 80/],
  ['a bucket at a private address', 'storage.s3.bucket=media,storage.s3.endpoint=https://192.168.7.4', /write networkPolicies.s3.cidrs: \[192.168.7.4\/32\]/],
  ['a bucket at a private address of IPv6', 'storage.s3.bucket=media,storage.s3.endpoint=https://[FD00::7]', /write networkPolicies.s3.cidrs: \[fd00::7\/128\]/i],
  ...['https://minio', 'http://minio.minio', 'https://minio.storage.svc', 'https://minio.storage.svc.cluster.local'].map((endpoint) => [
    `a bucket that a Service leads to, ${endpoint}`, `storage.s3.bucket=media,storage.s3.endpoint=${endpoint},networkPolicies.s3.ports={80,443}`,
    /at a private address[^]+the server's pods as networkPolicies.s3.peers/,
  ] as const),
  ['an STS likewise', 'storage.s3.bucket=media,storage.sts.roleArn=arn:aws:iam::123456789012:role/w,storage.sts.endpoint=https://sts:8443',
    /storage.sts.endpoint is at port 8443, which networkPolicies.sts.ports/],
  ['a collector that its policies cut off', 'traces.endpoint=http://collector:4318', /networkPolicies.traces names neither/],
  ['a collector at a port that they cut off', 'traces.endpoint=http://collector:4317,networkPolicies.traces.cidrs={10.0.0.7/32}', /at port 4317/],
  ['an API server that is everywhere', 'networkPolicies.apiServer.cidrs={0.0.0.0/0}', /which limits nothing/],
  ['a mail server without a sender', 'mail.existingSecret=mail', /mail.from is empty, but there is mail.existingSecret/],
  ['a sender without a mail server', 'mail.from=no-reply@example.org', /mail.from is no-reply@example.org, but no server sends mails/],
  ['selling without a mail server', 'billing.existingSecret=stripe', /nothing is sold without/],
  ['more workers that wait than workers', 'workerPool.maxWorkers=2,workerPool.warm.min=3', /workerPool.warm.min is 3, but the pool has 2 workers at most/],
  ['more workers that wait than may wait', 'workerPool.warm.min=5,workerPool.warm.max=4', /more than workerPool.warm.max, 4/],
  ['two rungs of one name', 'workerPool.ladder[0].name=a,workerPool.ladder[0].height=720,workerPool.ladder[0].bitrate=2800000,' +
    'workerPool.ladder[1].name=a,workerPool.ladder[1].height=480,workerPool.ladder[1].bitrate=1400000', /two rungs that are called a/],
  ['an autoscaler whose least is more than its most', 'api.autoscaling.enabled=true,api.autoscaling.maxReplicas=1', /more than api.autoscaling.maxReplicas, 1/],
  ['an autoscaler without a measure', 'api.autoscaling.enabled=true,api.resources.requests.cpu=null', /a part of api.resources.requests.cpu/],
  ["a variable that is the chart's", 'api.env.DATABASE_URL=postgresql://x', /api.env.DATABASE_URL is what the chart itself decides/],
  ['the secret that all keys follow from', 'operator.env.CAUDAL_SECRET=x', /operator.env.CAUDAL_SECRET is what/],
] as const)('refuses %s', async (_, value, words) => {
  await expect(render('--set', value)).rejects.toThrow(words);
});

test.each(['my.release', '7th', 'a-name-of-more-than-forty-characters-is-long'])('refuses a release that is called %s', async (name) => {
  await expect(helm(['template', name, chart, '--set', 'image.repository=caudal'])).rejects.toThrow(/the release's name, .+, is part of the names/);
});

test('says all that it refuses at once', async () => {
  const refused = render('--set', 'urls.rtmp=rtmps://example.org:1936/live,storage.sts.duration=1m');
  await expect(refused).rejects.toThrow(/\* urls.rtmp is .+\n\* storage.sts.duration is/);
});

test.each([
  ['a pool that is closed', 'workerPool.maxWorkers=0'],
  ['RTMPS of a load balancer', 'urls.rtmp=rtmps://example.org:1935/live,rtmp.service.annotations.example\\.org/ssl-cert=x'],
  ['RTMPS of what stands before a ClusterIP', 'urls.rtmp=rtmps://example.org/live,rtmp.service.type=ClusterIP'],
  ['no Redis', 'redis.builtIn.enabled=false'],
  ['an Ingress of their own', 'api.env.CAUDAL_TRUSTED_PROXIES=10.0.0.0/8,hlsEdge.env.CAUDAL_TRUSTED_PROXIES=10.0.0.0/8'],
  ['a way past an Ingress that keeps addresses', 'ingress.enabled=true,ingress.trustedProxies={10.0.0.0/8},api.service.type=LoadBalancer,' +
    'hlsEdge.service.type=NodePort,hlsEdge.service.externalTrafficPolicy=Local'],
  ['an autoscaler that goes by the limit', 'api.autoscaling.enabled=true,api.resources.requests=null,api.resources.limits.cpu=1'],
])('takes %s', async (_, value) => {
  await render('--set', value);
});

test.each([
  ['by every node with NodePort', 'NodePort', '', 'Cluster'],
  ['with their own address through a load balancer', 'LoadBalancer', '', 'Local'],
  ['as the values say', 'NodePort', 'Local', 'Local'],
  ['as the values say', 'LoadBalancer', 'Cluster', 'Cluster'],
])('viewers come in %s (%s, "%s")', async (_, type, policy, rendered) => {
  const service = `hlsEdge.service.type=${type},hlsEdge.service.externalTrafficPolicy=${policy},rtmp.service.type=ClusterIP`;
  expect(await render('--set', service)).toMatch(new RegExp(`^  type: ${type}\n  externalTrafficPolicy: ${rendered}$`, 'm'));
});

test.each([
  ['Local', 'a node that a router runs on'],
  ['Cluster', 'any node, at a port'],
])('says which nodes lead streamers in with NodePort (%s)', async (policy, words) => {
  const service = ['--set', `rtmp.service.externalTrafficPolicy=${policy}`];
  const install = ['install', 'caudal', chart, '--namespace', 'caudal', '--dry-run=client', ...values('node-port'), ...service];
  // Helm 3 asks a cluster even then.
  expect(await helm(install, undefined, 'helm-4')).toContain(`(RTMP): ${words}`);
});

test.each(['kubernetes.md', 'kubernetes/install.md', 'kubernetes/size.md'])('the values that docs/%s shows can be installed', async (page) => {
  const text = await readFile(path.resolve(chart, '../../docs', page), 'utf8');
  const shown = [...text.matchAll(/^( *)```yaml\n([^]*?)^ *```$/gm)].filter(([, , block = '']) => /^ *(urls|workerPool):/m.test(block));
  expect(shown).not.toEqual([]);
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-chart-test-'));
  try {
    for (const [index, [, indent = '', block = '']] of shown.entries()) {
      const file = path.join(folder, `${index}.yaml`);
      await writeFile(file, block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
      await render('--values', file);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('logs may be of another format, which is said once', async () => {
  const rendered = await render('--set', 'api.env.LOG_FORMAT=text');
  expect([...rendered.matchAll(/name: LOG_FORMAT, value: (\S+)/g)].map(([, format]) => format).sort()).toEqual(['"text"', 'json', 'json', 'json']);
});

test('no value that is taken out with null breaks a template: the chart goes without it, or says that it cannot', async () => {
  const names: string[] = [];
  const parents: string[] = [];
  for (const line of (await readFile(path.join(chart, 'values.yaml'), 'utf8')).split('\n')) {
    const [, indent = '', name] = /^((?: {2})*)([a-zA-Z0-9]+):/.exec(line) ?? [];
    if (!name) continue;
    parents.splice(indent.length / 2, Infinity, name);
    names.push(parents.join('.'));
  }
  expect(names).toContain('storage.s3.bucket');
  const broken: string[] = [];
  const take = async (): Promise<void> => {
    for (let name = names.pop(); name; name = names.pop()) {
      const said = await render('--set', `${name}=null`).catch(String);
      if (/<no value>|%!/.test(said) || /Error:(?![^]*(meet the specifications|These values cannot work))/.test(said)) broken.push(`${name}: ${said}`);
    }
  };
  await Promise.all([take(), take(), take(), take()]);
  expect(broken).toEqual([]);
}, 60_000);

test.each([
  ['its port is let through', 'networkPolicies.s3.ports={9000}'],
  ['its pods are named', 'networkPolicies.s3.peers[0].podSelector.matchLabels.app=minio'],
  ['there are no policies', 'networkPolicies.enabled=false'],
])("takes a bucket's server at a port of its own when %s", async (_, value) => {
  await render('--set', 'storage.s3.bucket=media,storage.s3.endpoint=https://minio.example.org:9000', '--set', value);
});

test.each(['https://[2001:db8::1]', 'https://s3.example.org', 'http://s3.example.org:80', 'https://192.0.2.7'])(
  'takes a bucket anywhere in the world, as at %s',
  async (endpoint) => {
    await render('--set', `storage.s3.bucket=media,storage.s3.endpoint=${endpoint},networkPolicies.s3.ports={80,443}`);
  },
);

test('another value of the priority makes another class, because none can be changed', async () => {
  const rendered = await render('--set', 'priorityClass.value=2000000');
  expect(rendered).toMatch(/^ {2}name: caudal-caudal-2000000$/m);
  expect(rendered).toMatch(/^value: 2000000$/m);
  expect(new Set([...rendered.matchAll(/priorityClassName: (.+)/g)].map(([, name]) => name))).toEqual(new Set(['caudal-caudal-2000000']));
});

/** The garbage collector deletes what such an owner has. */
const NOT_THERE = { apiVersion: 'v1', kind: 'ConfigMap', name: 'no-such', uid: '11111111-1111-4111-8111-111111111111' };

describe('at a real API server', () => {
  let folder: string;
  let server: Program;
  let kubectl: Kubectl;
  let api: ApiServer;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'caudal-chart-test-'));
    const noted = path.join(folder, 'kubeconfig');
    const script = path.resolve(import.meta.dirname, '../../scripts/with-kubernetes.sh');
    server = new Program(script, ['bash', '-c', 'echo "$KUBECONFIG" >"$1.new"; mv "$1.new" "$1"; exec sleep 3600', 'sh', noted]);
    kubectl = new Kubectl(
      await until('the API server answers', async () => (await readFile(noted, 'utf8').catch(() => '')).trim(), 80_000),
    );
    const enforced = { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/warn': 'restricted' };
    // One with the chart as it comes, and one in which nothing is there yet.
    for (const name of ['caudal', 'checked']) {
      await kubectl.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: enforced } }]);
    }
    await kubectl.run(['apply', '--server-side', '-f', path.join(chart, 'crds')]);
    await kubectl.run(['apply', '--server-side', '-f', await gatewayDefinitions()]);
    await kubectl.run(['wait', '--for=condition=Established', 'crd/livestreams.caudal.dev', 'crd/workerpools.caudal.dev',
      'crd/httproutes.gateway.networking.k8s.io']);
    const resources = (await kubectl.parse(await render(), 'caudal')).filter(({ metadata }) => !metadata.annotations?.['helm.sh/hook']);
    await kubectl.apply(resources, '--namespace', 'caudal');
    api = await ApiServer.of(kubectl.kubeconfig);
  }, 120_000);

  afterAll(async () => {
    await api?.stop();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test.each(sets)('everything is accepted with the values of %s, its pods in a namespace of the restricted standard', async (set) => {
    const resources = await kubectl.parse(await render(...values(set)), 'checked');
    const applied = await kubectl.apply(resources, '--namespace', 'checked', '--dry-run=server', '--force-conflicts');
    // Of a Deployment, whose pods come later, the standard only warns.
    expect(applied.stderr).toBe('');
    const pods = resources.flatMap(podOf);
    expect(pods.length).toBeGreaterThanOrEqual(5);
    await kubectl.apply(pods, '--namespace', 'checked', '--dry-run=server');
  });

  test.each(sets)('says what to do next with the values of %s', async (set) => {
    const notes = await helm(['install', 'other', chart, '--namespace', 'default', '--dry-run=client', ...values(set), '--set', UNKNOWN_OFF], kubectl.kubeconfig);
    expect(notes).toContain('get lst --watch');
    expect(notes).not.toContain('<no value>');
  });

  test('a pod that is not of the restricted standard is refused there', async () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'any' }, spec: { containers: [{ name: 'any', image: 'any' }] } };
    await expect(kubectl.apply([pod], '--namespace', 'caudal', '--dry-run=server')).rejects.toThrow(/violates PodSecurity/);
  });

  test('the API server finds no fault in the admission policies', async () => {
    const read = async (): Promise<Resource[]> =>
      (JSON.parse((await kubectl.run(['get', 'validatingadmissionpolicies', '-o', 'json'])).stdout) as { items: Resource[] }).items;
    const looked = await until('every policy was looked at', async () => {
      const policies = (await read()) as (Resource & { status?: { observedGeneration?: number; typeChecking?: object } })[];
      return policies.every(({ status }) => status?.observedGeneration) && policies;
    });
    expect(looked.length).toBe(7);
    for (const { metadata, status } of looked) expect([metadata.name, status?.typeChecking]).toEqual([metadata.name, {}]);
  });

  const livestreams = 'livestreams.caudal.dev';
  test.each([
    ['operator', {
      [livestreams]: 'create delete get list patch watch',
      [`livestreams.caudal.dev/status`]: 'patch update',
      'livestreams.caudal.dev/finalizers': 'update',
      'workerpools.caudal.dev/finalizers': 'update',
      'workerpools.caudal.dev': 'get list patch watch',
      'workerpools.caudal.dev/status': 'patch',
      pods: 'create delete get list patch watch',
      'leases.coordination.k8s.io': 'create',
      'leases.coordination.k8s.io [caudal-operator]': 'get update',
      'events.events.k8s.io': 'create patch',
      'namespaces [caudal]': 'get',
    }, { nodes: 'list watch' }],
    ['ingest-router', {
      [livestreams]: 'create get list patch watch',
      'livestreams.caudal.dev/status': 'patch',
      'workerpools.caudal.dev': 'list watch',
    }],
    ['hls-edge', { [livestreams]: 'list watch' }],
    ['api', { [livestreams]: 'create get list patch watch' }],
    ['janitor', { [livestreams]: 'list' }],
    // What a worker's pod would run as, if it had a token.
    ['default', {}],
  ] as [string, object, object?][])('%s may do what it needs and nothing else', async (role, expected, everywhere = {}) => {
    expect(await rights(account(role), 'caudal')).toEqual({ ...expected, ...everywhere });
    expect(await rights(account(role), 'default')).toEqual(everywhere);
  });

  const id = '01890a5d-ac96-774b-bcce-b302099a8057';
  const live = {
    apiVersion: 'caudal.dev/v1alpha1',
    kind: 'LiveStream',
    metadata: { name: `s-${id}` },
    spec: {
      stream: id,
      channel: 'ana',
      ingest: { session: '00000000-0000-4000-8000-000000000001', generation: 1, keyHash: 'a'.repeat(64), router: 'http://10.0.0.1:3003' },
    },
  };

  const ended = { desiredState: 'Ended' };
  test.each([
    ['ingest-router', 'a broadcast', 'is created', live],
    ['ingest-router', 'one that has a finalizer of its own', /no finalizer/, { ...live, metadata: { ...live.metadata, finalizers: ['example.org/never'] } }],
    ['ingest-router', 'one that is paused', /no annotation/, { ...live, metadata: { ...live.metadata, annotations: { 'caudal.dev/paused': 'true' } } }],
    ['ingest-router', 'the end of one', /it orders no end/, { ...live, spec: { ...live.spec, ...ended } }],
    ['ingest-router', 'one with an order to drop its publisher', /it orders no end/,
      { ...live, spec: { ...live.spec, drop: { session: live.spec.ingest.session, reason: 'x' } } }],
    ['api', 'a broadcast', /only to end it/, live],
    ['api', 'the end of one', 'is created', { ...live, spec: { stream: id, ...ended } }],
    ['operator', 'a broadcast', /only to end it/, live],
    ['operator', 'the end of one', 'is created', { ...live, spec: { stream: id, ...ended } }],
    ['hls-edge', 'a broadcast', /forbidden/, live],
    ['janitor', 'a broadcast', /forbidden/, live],
  ] as const)('%s creates %s: %s', async (role, _, outcome, resource) => {
    await outcomeOf(api.write(account(role), 'POST', LIVE_STREAMS, resource), outcome);
  });

  describe('of a broadcast that is there', () => {
    const there = `${LIVE_STREAMS}/${live.metadata.name}`;

    beforeAll(async () => {
      await api.write(account('ingest-router'), 'POST', LIVE_STREAMS, live, true);
      const status = { lifecycle: { version: 1 }, phase: 'Pending' };
      await api.write(account('operator'), 'PATCH', `${there}/status`, { status }, true);
    });

    test.each([
      ['ingest-router', { spec: { ingest: { generation: 2 } } }, 'is written'],
      ['ingest-router', { spec: { desiredState: 'Ended' } }, /nothing of a LiveStream's spec but ingest/],
      ['ingest-router', { spec: { title: 'mine' } }, /nothing of a LiveStream's spec but ingest/],
      ['ingest-router', { metadata: { finalizers: ['caudal.dev/end'] } }, /no finalizer/],
      ['ingest-router', { metadata: { annotations: { 'caudal.dev/move': 'now' } } }, /no annotation/],
      ...['ingest-router', 'api', 'operator'].flatMap((role) => [
        [role, { metadata: { ownerReferences: [NOT_THERE] } }, /has no owner/] as const,
        [role, { metadata: { labels: { mine: 'yes' } } }, /its labels are for people/] as const,
      ]),
      ['api', { metadata: { annotations: { 'caudal.dev/move': 'now' } } }, /no annotation/],
      ['api', { spec: { desiredState: 'Ended', endReason: 'ended_by_owner' } }, 'is written'],
      ['api', { spec: { keyRevoked: true } }, 'is written'],
      ['api', { spec: { ingest: { generation: 3 } } }, /and nothing else/],
      ['api', { metadata: { finalizers: ['caudal.dev/end'] } }, /no finalizer/],
      ['operator', { metadata: { finalizers: ['caudal.dev/end'] } }, 'is written'],
      ['operator', { spec: { desiredState: 'Ended' } }, 'is written'],
      ['operator', { spec: { ingest: { generation: 3 } } }, /and nothing else/],
      ['hls-edge', { spec: { desiredState: 'Ended' } }, /forbidden/],
    ] as const)('%s writes %j: %s', async (role, change, outcome) => {
      await outcomeOf(api.write(account(role), 'PATCH', there, change), outcome);
    });

    test.each([
      ['operator', { status: { lifecycle: { version: 1, x: 1 }, phase: 'Starting' } }, 'is written'],
      ['ingest-router', { status: { lifecycle: { x: 2 } } }, /the operator's alone|nothing of a LiveStream's status but media/],
      ['ingest-router', { status: { phase: 'Ended' } }, /nothing of a LiveStream's status but media/],
      ['ingest-router', { status: { media: {} } }, 'is written'],
      ['api', { status: { phase: 'Ended' } }, /forbidden/],
    ] as const)("%s writes to the status %j: %s", async (role, change, outcome) => {
      await outcomeOf(api.write(account(role), 'PATCH', `${there}/status`, change), outcome);
    });

    test("an administrator's status may say anything but another lifecycle", async () => {
      const by = (status: object): Promise<void> => api.write('', 'PATCH', `${there}/status`, { status });
      await expect(by({ lifecycle: { x: 3 } })).rejects.toThrow(/operator's alone/);
      await by({ reason: 'by hand' });
    });
  });

  test("a router's word of what comes may be the first thing in a status, and still says nothing else", async () => {
    const stream = '01890a5d-ac96-774b-bcce-b302099a8058';
    const fresh = { ...live, metadata: { name: `s-${stream}` }, spec: { ...live.spec, stream } };
    await api.write(account('ingest-router'), 'POST', LIVE_STREAMS, fresh, true);
    const say = (status: object): Promise<void> =>
      api.write(account('ingest-router'), 'PATCH', `${LIVE_STREAMS}/s-${stream}/status`, { status });
    await say({ media: { videoCodec: 'H.264' } });
    await expect(say({ media: {}, phase: 'Live' })).rejects.toThrow(/but media/);
    await expect(say({ media: {}, lifecycle: { version: 1 } })).rejects.toThrow(/but media|operator's alone/);
  });

  test("the operator changes a pool's room and what it notes of that, and nothing else of it", async () => {
    const pool = { apiVersion: 'caudal.dev/v1alpha1', kind: 'WorkerPool', metadata: { name: 'other' }, spec: { maxWorkers: 20 } };
    await kubectl.apply([{ ...pool, metadata: { ...pool.metadata, namespace: 'caudal' } }]);
    const change = (change: object): Promise<void> =>
      api.write(account('operator'), 'PATCH', '/apis/caudal.dev/v1alpha1/namespaces/caudal/workerpools/other', change);
    const noted = (note: string): object => ({ metadata: { annotations: { [note]: '{}' } } });
    await change({ ...noted('caudal.dev/closed-by-uninstall'), spec: { maxWorkers: 0, warm: { min: 0, percentOfLive: 0, max: 0 } } });
    await change({ metadata: { annotations: { 'caudal.dev/closed-by-uninstall': null } }, spec: { maxWorkers: 20 } });
    await expect(change({ spec: { template: { nodeSelector: { video: 'yes' } } } })).rejects.toThrow(/nothing else of its spec changes/);
    await expect(change(noted('caudal.dev/paused'))).rejects.toThrow(/no annotation of a WorkerPool but/);
    await expect(change({ metadata: { finalizers: ['example.org/keep'] } })).rejects.toThrow(/no finalizer/);
  });

  const known = {
    'app.kubernetes.io/name': 'caudal',
    'app.kubernetes.io/instance': 'caudal',
    'app.kubernetes.io/component': 'transcoder-worker',
  };
  const container = {
    name: 'transcoder-worker', image: 'caudal:0.1.0',
    env: [{ name: 'CAUDAL_CONTROLLER_KEY', valueFrom: { secretKeyRef: { name: 'caudal-transcoder-worker', key: 'controllerKey' } } }],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  };
  const media = { name: 'media', persistentVolumeClaim: { claimName: 'caudal-media' } };
  const worker = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'w-default-0', labels: known },
    spec: {
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [container],
      volumes: [{ name: 'scratch', emptyDir: {} }, media],
    },
  };
  const pods = '/api/v1/namespaces/caudal/pods';
  const labelled = (labels: object): object => ({ ...worker, metadata: { ...worker.metadata, labels } });
  const specified = (spec: object): object => ({ ...worker, spec: { ...worker.spec, ...spec } });
  const contained = (change: object): object => specified({ containers: [{ ...container, ...change }] });
  const mounting = (source: object): object => specified({ volumes: [{ name: 'other', ...source }] });
  const ofApi = { secretKeyRef: { name: 'caudal-api', key: 'key' } };
  const without = /without a service account's token/;
  const noVolume = /no volume but scratch space and its storage/;
  const noEnvironment = /no environment out of another Secret/;
  test.each([
    ['a worker', 'is created', worker],
    ['a worker of another version', 'is created', contained({ image: 'caudal:0.0.9' })],
    ['something else', /workers only/, labelled({})],
    ['a worker that no NetworkPolicy selects', /workers only/, labelled({ ...known, 'app.kubernetes.io/instance': 'other' })],
    ['a worker with a token', without, specified({ automountServiceAccountToken: true })],
    ['a worker that is the api', without, specified({ serviceAccountName: 'caudal-api' })],
    ["a worker with the api's keys", noVolume, mounting({ secret: { secretName: 'caudal-api' } })],
    ["a worker with the bucket's keys, when there is no bucket", noVolume, mounting({ secret: { secretName: 'caudal-bucket' } })],
    ["a worker with the database's volume", noVolume, mounting({ persistentVolumeClaim: { claimName: 'data-caudal-postgresql-0' } })],
    ['a worker with a projected Secret', noVolume, mounting({ projected: { sources: [{ secret: { name: 'caudal-api' } }] } })],
    ["a worker with the api's key in a variable", noEnvironment, contained({ env: [{ name: 'X', valueFrom: ofApi }] })],
    ["a worker with all of the api's keys as variables", noEnvironment, contained({ envFrom: [{ secretRef: { name: 'caudal-api' } }] })],
    ["a worker that begins with the api's keys", noEnvironment,
      specified({ initContainers: [{ ...container, name: 'first', env: [{ name: 'X', valueFrom: ofApi }] }] })],
    ['a worker of another image', /no image but/, contained({ image: 'evil:0.1.0' })],
    ['a worker that begins with another image', /no image but/, specified({ initContainers: [{ ...container, name: 'first', image: 'evil:1' }] })],
  ] as const)('the operator makes a pod that is %s: %s', async (_, outcome, pod) => {
    await outcomeOf(api.write(account('operator'), 'POST', pods, pod), outcome);
  });

  test('the operator makes the pods that its program makes', async () => {
    const folder = path.resolve(chart, '../../operator/src/build/snapshots');
    const snapshot = await readFile(path.join(folder, 'caudal_operator__build__tests__a_warm_pod.snap'), 'utf8');
    const [, , yaml = ''] = snapshot.split(/^---$/m);
    const named = yaml.replace('name: caudal-worker', 'name: caudal-transcoder-worker').replace('image: example.org/caudal:', 'image: caudal:');
    const [pod] = await kubectl.parse(named, 'caudal');
    await api.write(account('operator'), 'POST', pods, pod);
  });

  describe('where no Pod Security Standard is enforced', () => {
    const enforce = (level: string): Promise<unknown> =>
      kubectl.run(['label', '--overwrite', 'namespace', 'caudal', `pod-security.kubernetes.io/enforce=${level}`]);
    beforeAll(() => enforce('privileged'));
    afterAll(() => enforce('restricted'));

    test.each([
      ['a folder of its node', noVolume, mounting({ hostPath: { path: '/' } })],
      ["its node's network", /nothing of its node/, specified({ hostNetwork: true })],
      ["its node's processes", /nothing of its node/, specified({ hostPID: true })],
      ['all rights', /nothing of its node/, contained({ securityContext: { privileged: true } })],
    ])('the operator makes no worker with %s', async (_, outcome, pod) => {
      await outcomeOf(api.write(account('operator'), 'POST', pods, pod), outcome);
    });
  });

  describe('of pods that are there', () => {
    const another = { ...worker, metadata: { name: 'database', labels: { ...known, 'app.kubernetes.io/component': 'postgresql' } } };

    beforeAll(async () => {
      await api.write(account('operator'), 'POST', pods, worker, true);
      await api.write('', 'POST', pods, another, true);
    });

    const claim = {
      labels: { 'caudal.dev/worker': 'claimed' },
      annotations: { 'karpenter.sh/do-not-disrupt': 'true' },
      ownerReferences: [{ apiVersion: 'caudal.dev/v1alpha1', kind: 'LiveStream', name: `s-${id}`, uid: id, controller: true, blockOwnerDeletion: false }],
    };
    const image = { spec: { containers: [{ ...container, image: 'caudal:0.0.9' }] } };
    test.each([
      ['claims', 'a worker', 'PATCH', 'w-default-0', { metadata: claim }, 'is done'],
      ['gives another image to', 'a worker', 'PATCH', 'w-default-0', image, /nothing of what a worker runs/],
      ['takes the component off', 'a worker', 'PATCH', 'w-default-0',
        { metadata: { labels: { 'app.kubernetes.io/component': null } } }, /takes no label off/],
      ['takes the release off', 'a worker', 'PATCH', 'w-default-0',
        { metadata: { labels: { 'app.kubernetes.io/instance': 'other' } } }, /takes no label off/],
      ['deletes', 'a worker', 'DELETE', 'w-default-0', undefined, 'is done'],
      ['claims', 'a database', 'PATCH', 'database', { metadata: claim }, /changes and deletes workers only/],
      ['makes a worker of', 'a database', 'PATCH', 'database', { metadata: { labels: known } }, /changes and deletes workers only/],
      ['gives another image to', 'a database', 'PATCH', 'database', image, /changes and deletes workers only/],
      ['deletes', 'a database', 'DELETE', 'database', undefined, /changes and deletes workers only/],
    ] as const)('the operator %s %s: %s %s %j: %s', async (_verb, _what, method, name, change, outcome) => {
      await outcomeOf(api.write(account('operator'), method, `${pods}/${name}`, change), outcome);
    });
  });

  test("with a bucket, the operator's workers have its keys and no volume that others mount", async () => {
    const policies = (await kubectl.parse(await render(...values('bucket')), 'caudal')).filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
    await kubectl.apply(policies, '--force-conflicts');
    const named = { ...worker, metadata: { ...worker.metadata, name: 'w-default-1' } };
    const make = (volume: object): Promise<void> =>
      api.write(account('operator'), 'POST', pods, { ...named, spec: { ...worker.spec, volumes: [volume] } });
    const bucket = (secretName: string): object => ({ name: 'bucket', secret: { secretName } });
    // The API server takes a moment to hear of a policy.
    await until('its keys are let through', () => make(bucket('media-worker-keys')).then(() => true, () => false));
    await expect(make(bucket('media-keys'))).rejects.toThrow(noVolume);
    await expect(make(media)).rejects.toThrow(noVolume);
  });

  async function outcomeOf(writing: Promise<void>, outcome: string | RegExp): Promise<void> {
    if (typeof outcome === 'string') await writing;
    else await expect(writing).rejects.toThrow(outcome);
  }

  /** Verbs by resource, as the API server lists an account's rights; without those that everybody has. */
  async function rights(user: string, namespace: string): Promise<Record<string, string>> {
    const { stdout } = await kubectl.run(['auth', 'can-i', '--list', '--no-headers', '--namespace', namespace, '--as', user]);
    const found: Record<string, string> = {};
    for (const line of stdout.split('\n')) {
      const [, resource = '', names = '', verbs = ''] = /^(\S*)\s+\[[^\]]*\]\s+\[([^\]]*)\]\s+\[([^\]]*)\]$/.exec(line.trim()) ?? [];
      // Reviews of oneself, and paths as /healthz.
      if (!resource || /^self\w+reviews\./.test(resource)) continue;
      found[names ? `${resource} [${names}]` : resource] = verbs.split(' ').sort().join(' ');
    }
    return found;
  }
});

function account(role: string): string {
  return `system:serviceaccount:caudal:${role === 'default' ? role : `caudal-${role}`}`;
}

/** The pod that a Deployment, StatefulSet or Job would make. */
function podOf({ metadata, spec }: Resource): object[] {
  const template = spec?.jobTemplate?.spec.template ?? spec?.template;
  if (!spec || !template?.spec) return [];
  // Service accounts of hooks are there only while these run.
  const { serviceAccountName: _, volumes = [], ...pod } = template.spec;
  const claimed = (spec.volumeClaimTemplates ?? []).map(({ metadata: { name } }) => ({ name, persistentVolumeClaim: { claimName: name } }));
  return [{
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `of-${metadata.name}` },
    spec: { restartPolicy: 'Always', ...pod, volumes: [...volumes, ...claimed] },
  }];
}
