import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Program, until } from './process.ts';

/** A throw-away PostgreSQL, which goes when the program is stopped. */
export async function startPostgres(): Promise<{ postgres: Program; url: string }> {
  const script = fileURLToPath(new URL('../../scripts/with-postgres.sh', import.meta.url));
  const postgres = new Program(script, ['sh', '-c', 'echo "$DATABASE_URL"; exec tail -f /dev/null']);
  let said = '';
  postgres.child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
  const url = await until(
    'PostgreSQL',
    () => {
      if (!postgres.running) throw new Error(postgres.stderr);
      return said.endsWith('\n') && said.trim();
    },
    60_000,
  );
  return { postgres, url };
}

/** Stops the server as its administrator would, whoever is connected. Gives what starts it again, on its port and with its data. */
export async function takeAway(url: string): Promise<() => Promise<void>> {
  const folder = query(url, 'show data_directory');
  const pidFile = path.join(folder, 'postmaster.pid');
  const [pid] = (await readFile(pidFile, 'utf8')).split('\n');
  const command = await readFile(path.join(folder, 'postmaster.opts'), 'utf8');
  process.kill(Number(pid), 'SIGINT');
  await until('PostgreSQL has stopped', () => readFile(pidFile).then(() => false, () => true));
  return async () => {
    const asOwner = process.getuid?.() === 0 ? ['runuser', '-u', 'postgres', '--'] : [];
    const [program = 'sh', ...args] = [...asOwner, 'sh', '-c', `exec ${command}`];
    // with-postgres.sh ends whatever runs in its folder.
    const server = new Program(program, args, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
    await until('PostgreSQL is back', () => {
      if (!server.running) throw new Error(server.stderr);
      return query(url, 'select 1') === '1';
    });
  };
}

/** The only value of the only row. */
export function query(url: string, sql: string): string {
  return execFileSync('psql', [url, '-XAtc', sql], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}
