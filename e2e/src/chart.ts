import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

import { Program, until } from './process.ts';

const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, '../..');

/** The chart under test. */
export const chart = path.join(repository, 'charts/caudal');

/** The folder of helm and kubectl, as the test cluster has them. */
export const programs = (await run(path.join(repository, 'e2e/cluster/build'), ['path'])).stdout.trim();

/** Helm 3 and Helm 4, by the names of their programs. */
export const HELMS = ['helm', 'helm-4'] as const;

/** Runs helm; throws what it said when it fails. */
export async function helm(args: string[], kubeconfig?: string, program: (typeof HELMS)[number] = 'helm'): Promise<string> {
  const env = { ...process.env, ...(kubeconfig ? { KUBECONFIG: kubeconfig } : {}) };
  const { stdout } = await run(path.join(programs, program), args, { env, maxBuffer: 16 << 20 });
  return stdout;
}

/** What no installation can leave out; values that come later may say otherwise. */
const leastValues = ['--values', path.join(repository, 'e2e/tests/chart/defaults.yaml')];

/** Everything that `helm install caudal --namespace caudal` with these values would send, hooks and tests too. */
export async function render(...values: string[]): Promise<string> {
  return helm(['template', 'caudal', chart, '--namespace', 'caudal', ...leastValues, ...values]);
}

/** The folder of the Gateway API's own definitions, which a cluster has to have before it knows an HTTPRoute. */
export async function gatewayDefinitions(): Promise<string> {
  // By Go's checksum database; what it has downloaded once it keeps.
  const { stdout } = await run('go', ['mod', 'download', '-json', 'sigs.k8s.io/gateway-api@v1.4.0'], { cwd: '/', maxBuffer: 16 << 20 });
  return path.join((JSON.parse(stdout) as { Dir: string }).Dir, 'config/crd/standard');
}

/** A Kubernetes resource, as far as these tests look into it. */
export interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string; annotations?: Record<string, string> };
  spec?: {
    template?: PodTemplate;
    /** Of a CronJob. */
    jobTemplate?: { spec: { template: PodTemplate } };
    volumeClaimTemplates?: { metadata: { name: string } }[];
  };
}

interface PodTemplate {
  spec: { serviceAccountName?: string; volumes?: object[] } & Record<string, unknown>;
}

/** kubectl of one API server. */
export class Kubectl {
  constructor(readonly kubeconfig: string) {}

  /** What it said on both outputs: warnings come on standard error. */
  async run(args: string[], input = ''): Promise<{ stdout: string; stderr: string }> {
    const running = run(path.join(programs, 'kubectl'), args, {
      env: { ...process.env, KUBECONFIG: this.kubeconfig },
      maxBuffer: 16 << 20,
    });
    running.child.stdin?.end(input);
    return running;
  }

  /** Sends resources as JSON. */
  async apply(resources: object[], ...more: string[]): Promise<{ stdout: string; stderr: string }> {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: resources });
    return this.run(['apply', '--server-side', '--validate=strict', '-f', '-', ...more], list);
  }

  /** YAML as the resources that are in it, but for kinds that only the Prometheus operator knows. */
  async parse(yaml: string, namespace: string): Promise<Resource[]> {
    const ours = yaml.split(/^---$/m).filter((document) => !/^apiVersion: monitoring\.coreos\.com/m.test(document)).join('---');
    const { stdout } = await this.run(['create', '--dry-run=client', '--validate=false', '--namespace', namespace, '-o', 'json', '-f', '-'], ours);
    // One document after the other, or a list of them.
    const documents = JSON.parse(`[${stdout.trim().replaceAll(/^\}\s*^\{/gm, '},{')}]`) as (Resource | { items: Resource[] })[];
    return documents.flatMap((document) => ('items' in document ? document.items : [document]));
  }
}

/** An administrator's way to the API server that can take anybody's part. (kubectl reads before it writes, which not everybody may.) */
export class ApiServer {
  private constructor(
    readonly proxy: Program,
    readonly base: string,
  ) {}

  static async of(kubeconfig: string): Promise<ApiServer> {
    const proxy = new Program(path.join(programs, 'kubectl'), ['proxy', '--port=0'], { env: { ...process.env, KUBECONFIG: kubeconfig } });
    let said = '';
    proxy.child.stdout?.on('data', (text: Buffer) => (said += text.toString()));
    const address = await until('kubectl proxy says where it is', () => /[\d.]+:\d+/.exec(said)?.[0]);
    return new ApiServer(proxy, `http://${address}`);
  }

  /** A write as `user`; throws what the API server said when it refuses. Nothing is kept unless `keep` says so. */
  async write(user: string, method: 'POST' | 'PATCH' | 'DELETE', where: string, body?: object, keep = false): Promise<void> {
    const response = await fetch(`${this.base}${where}${keep ? '' : '?dryRun=All'}`, {
      method,
      headers: {
        ...(user ? { 'impersonate-user': user } : {}),
        'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(await response.text());
    await response.body?.cancel();
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
  }
}
