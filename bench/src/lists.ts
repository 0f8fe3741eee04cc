import { execFileSync } from 'node:child_process';

import { startPostgres } from '../../e2e/src/postgres.ts';
import { Program } from '../../e2e/src/process.ts';
import { OURS, probe } from './builds.ts';
import { load } from './processes.ts';
import { stage } from './standalone.ts';
import { progress, RUNS, spread, table, title } from './table.ts';

/** Broadcasts of the past, and those that are live. */
const ENDED = 100_000;
const LIVE = 500;
const RATE = 500;
const SECONDS = 15;

/** What people ask for when they open the home page, a category and a search. */
const PATHS = {
  'live, most watched first': ['/api/streams'],
  'live, the latest first': ['/api/streams?sort=recent'],
  'of a category': ['/api/categories/music/streams'],
  'in a language': ['/api/streams?language=es'],
  'by words': ['/api/streams?q=broadcast'],
  'a search': ['/api/search?q=broadc'],
};

/** How long lists take with a hundred thousand streams in the table. */
export async function measureLists(): Promise<void> {
  const { postgres, url } = await startPostgres();
  try {
    const set = await stage({ CAUDAL_LADDER: 'none', DATABASE_URL: url }, OURS);
    try {
      psql(url, SEED);
      const rows: (string | number)[][] = [];
      for (const [what, paths] of Object.entries(PATHS)) {
        const runs: { p50: number; p99: number; max: number; cores: number }[] = [];
        for (let run = 0; run < RUNS; run += 1) {
          // No controller knows of them: half a minute later the api would close them.
          psql(url, REVIVE);
          const asking = new Program(probe('ask-often'), [
            `127.0.0.1:${new URL(set.platform.web).port}`, ...paths, '--rate', String(RATE), '--seconds', String(SECONDS),
          ]);
          let said = '';
          asking.child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
          const [{ cores }, code] = await Promise.all([load(set.platform.pid, SECONDS), asking.exited()]);
          if (code !== 0) throw new Error(`ask-often: ${asking.stderr}`);
          const took = JSON.parse(said) as { p50: number; p99: number; max: number };
          runs.push({ ...took, cores });
          progress(`lists ${run + 1}/${RUNS} ${what}: p99 ${took.p99.toFixed(1)} ms`);
        }
        const of = (get: (run: (typeof runs)[number]) => number, digits = 1) => spread(runs.map(get), digits);
        rows.push([what, of(({ p50 }) => p50), of(({ p99 }) => p99), of(({ max }) => max), of(({ cores }) => cores, 2)]);
      }
      title(`Lists, ${RATE} requests a second, each timed from when it was due; ${ENDED} ended streams and ${LIVE} live ones in the table, twenty in an answer; PostgreSQL and those who ask on the same cores; median of ${RUNS} runs of ${SECONDS} s (least–most). Target: p99 below 50 ms`);
      table(['what', 'p50, ms', 'p99, ms', 'longest, ms', 'cores of the platform'], rows);
    } finally {
      await set.platform.stop();
    }
  } finally {
    await postgres.stop('SIGTERM');
  }
}

function psql(url: string, sql: string): void {
  execFileSync('psql', [url, '-X', '-q', '-v', 'ON_ERROR_STOP=1'], { input: sql });
}

/** People with one stream each: keys and addresses that nobody uses. */
const SEED = `
insert into users (id, username, username_normal, email, email_normal, password_hash, stream_key, stream_key_enc, stream_key_kid)
select gen_random_uuid(), 'seeded' || n, 'seeded' || n, 'seeded' || n || '@example.org', 'seeded' || n || '@example.org', '-',
       md5('a' || n) || md5('b' || n), '\\x00', 'none'
from generate_series(1, ${ENDED + LIVE}) n;
insert into streams (id, user_id, title, language, viewer_count, started_at, ended_at, created_at)
select gen_random_uuid(), id, 'A broadcast of ' || username, (array['es', 'en', 'es-MX', 'pt'])[1 + n % 4], n % 1000,
       now() - n * interval '1 minute', now() - n * interval '1 minute' + interval '30 seconds', now() - n * interval '1 minute'
from (select id, username, row_number() over () n from users where username like 'seeded%') people;
insert into stream_categories (stream_id, category_id)
select s.id, c.id from (select id, row_number() over () n from streams) s
join (select id, row_number() over () - 1 n from categories) c on c.n = s.n % 15;
analyze;
`;

const REVIVE = `
update streams set is_live = true, ended_at = null, started_at = now(), end_requested_at = null, end_requested_reason = null, ended_reason = null
where id in (select id from streams where title like 'A broadcast%' order by viewer_count desc, id limit ${LIVE});
`;
