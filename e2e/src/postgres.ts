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
