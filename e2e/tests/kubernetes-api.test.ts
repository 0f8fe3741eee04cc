import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { Program, until } from '../src/process.ts';
import { processesNaming } from '../src/processes.ts';

// The API server that scripts/with-kubernetes.sh gives to the Rust tests.
const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, '../..');
const script = path.join(repository, 'scripts/with-kubernetes.sh');
const programs = (await run(path.join(repository, 'e2e/cluster/build'), ['path'])).stdout.trim();
const env = { ...process.env, PATH: `${programs}:${process.env.PATH ?? ''}` };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'caudal-api-test-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('a command gets an API server that collects what belongs to a removed owner', async () => {
  const { stdout } = await run(script, ['bash', '-euc', `
    kubectl create configmap owner >/dev/null
    uid=$(kubectl get configmap owner -o 'jsonpath={.metadata.uid}')
    kubectl create configmap owned >/dev/null
    kubectl patch configmap owned -p '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"'$uid'"}]}}' >/dev/null
    kubectl delete configmap owner >/dev/null
    kubectl wait --for=delete configmap/owned --timeout=60s >/dev/null
    kubectl create namespace passing >/dev/null
    kubectl delete namespace passing --timeout=60s >/dev/null
    echo collected
  `], { env });
  expect(stdout).toBe('collected\n');
});

test('commands at the same time get one each, and their exit status is handed on', async () => {
  const write = (name: string): Promise<unknown> =>
    run(script, ['bash', '-euc', `kubectl create configmap ${name} >/dev/null; kubectl get configmaps -o name; exit 7`], { env }).then(
      () => undefined,
      (error: unknown) => error,
    );
  const [one, two] = await Promise.all([write('one'), write('two')]);
  expect(one).toMatchObject({ code: 7 });
  expect((one as { stdout: string }).stdout).not.toContain('two');
  expect(two).toMatchObject({ code: 7 });
  expect((two as { stdout: string }).stdout).not.toContain('one');
});

test.each([
  ['is interrupted', 'SIGINT', 130],
  ['is told to end', 'SIGTERM', 143],
  ['is killed', 'SIGKILL', null],
] as const)('nothing runs on when the script %s', async (_, signal, status) => {
  const noted = path.join(folder, 'kubeconfig');
  const program = new Program(script, ['bash', '-c', `echo "$KUBECONFIG" >${noted}; exec sleep 600`], { env });
  const kubeconfig = await until('the command runs', async () => (await readFile(noted, 'utf8').catch(() => '')).trim());
  const place = path.dirname(kubeconfig);
  expect(await readdir(place)).toContain('etcd');
  const daemons = async (): Promise<string[]> =>
    (await processesNaming(place)).map(({ command }) => command).filter((command) => /etcd|kube-/.test(command));
  await until('its three programs run', async () => (await daemons()).length === 3);
  expect(await program.stop(signal)).toBe(status);
  await until('its programs have ended', async () => (await daemons()).length === 0);
  if (signal !== 'SIGKILL') await expect(readdir(place)).rejects.toThrow('ENOENT');
  // A killed script can end neither its command nor its folder.
  for (const { pid } of await processesNaming(place)) process.kill(pid);
  await rm(place, { recursive: true, force: true });
});

test('it says what is missing', async () => {
  const failed = await run(script, ['true'], { env: { ...env, XDG_CACHE_HOME: folder } }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failed).toMatchObject({ code: 69, stderr: expect.stringContaining('scripts/setup cluster') });
});
