import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { api, register, type Account } from '../src/account.ts';
import { Platform } from '../src/platform.ts';

// The commands are those of docs/operating.md, taken from there.
const manual = await readFile(path.join(import.meta.dirname, '../../docs/operating.md'), 'utf8');

let platform: Platform;
let backup: string;
let ana: Account;

beforeEach(async () => {
  backup = await mkdtemp(path.join(tmpdir(), 'caudal-backup-'));
  platform = await Platform.start({ CAUDAL_LADDER: 'none' });
  ana = await register(platform.web, 'ana');
});

afterEach(async () => {
  await platform?.stop();
  await rm(backup, { recursive: true, force: true });
});

test('a dump of the running platform, restored as the manual says, brings accounts and stream keys back', async () => {
  await run('dump');
  await platform.interrupt();
  // The disk broke: step 1 makes an empty database.
  await rename(path.join(platform.folder, 'postgres'), path.join(backup, 'broken'));
  await rename(path.join(platform.folder, 'secrets'), path.join(backup, 'lost'));
  await platform.restart();
  await expect(login()).rejects.toThrow('401');
  await platform.interrupt();
  await run('restore-dump');
  await platform.restart();
  await isBack();
});

test('a dump can be restored beside a database that went astray, which is kept', async () => {
  await run('dump');
  await register(platform.web, 'bob');
  await platform.interrupt();
  await run('restore-dump');
  await platform.restart();
  await isBack();
  await expect(login('bob')).rejects.toThrow('401');
  const kept = await run('begin', 'dump', '"$(postgresql psql)" -h "$SOCKET" -U caudal -d caudal -Atc "select datname from pg_database"');
  expect(kept).toMatch(/^before_\d+$/m);
});

test('a copy of the stopped platform, restored as the manual says, brings accounts and stream keys back', async () => {
  await platform.interrupt();
  await run('copy');
  await platform.restart();
  await register(platform.web, 'bob');
  await platform.interrupt();
  await run('restore-copy');
  await platform.restart();
  await isBack();
  await expect(login('bob')).rejects.toThrow('401');
  // What was there before the restore is put aside.
  const aside = (await readdir(platform.folder)).find((name) => name.startsWith('before-restore-'));
  expect(await readdir(path.join(platform.folder, aside ?? ''))).toEqual(['postgres', 'secrets', 'streams']);
});

test('a copy is not taken of a database that runs', async () => {
  await expect(run('copy')).rejects.toThrow('PostgreSQL still runs');
});

test('a copy can be restored on a new machine', async () => {
  await platform.interrupt();
  await run('copy');
  await rename(platform.folder, path.join(backup, 'old machine'));
  await run('restore-copy');
  await platform.restart();
  await isBack();
});

async function login(name = ana.username): Promise<string> {
  const { accessToken } = await api<{ accessToken: string }>(platform.web, 'POST', '/api/auth/login', {
    body: { login: name, password: ana.password },
  });
  return accessToken;
}

async function isBack(): Promise<void> {
  const { streamKey } = await api<{ streamKey: string }>(platform.web, 'GET', '/api/auth/stream-key', { token: await login() });
  expect(streamKey).toBe(ana.streamKey);
}

/** Runs blocks of the manual by their names, after its first one. */
function run(...blocks: string[]): Promise<string> {
  const script = ['begin', ...blocks].map((block) => /\s/.test(block) ? block : commands(block)).join('\n');
  return new Promise((resolve, reject) => {
    const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, DATA: platform.folder, BACKUP: backup },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [said, complained] = ['', ''];
    shell.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    shell.stderr.on('data', (chunk: Buffer) => (complained += chunk.toString()));
    shell.on('error', reject);
    shell.on('exit', (code) => (code === 0 ? resolve(said) : reject(new Error(`${blocks.join()}: ${code}\n${said}${complained}`))));
  });
}

function commands(block: string): string {
  const found = new RegExp(`^\`\`\`sh ${block}\\n([^]*?)^\`\`\`$`, 'm').exec(manual)?.[1];
  if (!found) throw new Error(`docs/operating.md has no commands named ${block}`);
  return found;
}
