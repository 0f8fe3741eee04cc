import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Program, until } from './process.ts';

/** A throw-away Redis, at a socket in a folder of its own. */
export async function startRedis(): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-redis-'));
  const socket = path.join(folder, 's');
  const redis = new Program('redis-server', [
    '--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', '--appendonly', 'no',
  ]);
  let said = '';
  redis.child.stdout?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4096)));
  await until('Redis', () => {
    if (!redis.running) throw new Error(said + redis.stderr);
    return /eady to accept connections/.test(said);
  });
  return {
    url: `redis+unix://${socket}`,
    stop: async () => {
      await redis.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
