import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api } from '../src/account.ts';
import { administer } from '../src/administer.ts';
import { FakeStripe } from '../src/fake-stripe.ts';
import { Mailbox } from '../src/mailbox.ts';
import { Platform } from '../src/platform.ts';
import { Program } from '../src/process.ts';
import { RedisServer } from '../src/redis.ts';

const ADMIN = { username: 'boss', email: 'boss@example.org', password: 'correct horse battery' };
/** What schemathesis holds against each answer. Who may do what is `authorization.rs`; the schemas cannot say which texts are acceptable. */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'missing_required_header',
  'unsupported_method',
];

/** What hooks.py writes. */
interface Report {
  statuses: Record<string, number>;
  operations: Record<string, Record<string, number>>;
}

/** The api, as somebody tries it who has only its OpenAPI document. Needs `scripts/setup test`. */
describe('the api against its document', () => {
  let redis: RedisServer;
  let stripe: FakeStripe;
  let mailbox: Mailbox;
  let platform: Platform;
  let folder: string;
  let described: string[];
  let log = '';
  let report: Report;

  beforeAll(async () => {
    [redis, stripe, mailbox] = await Promise.all([RedisServer.start(), FakeStripe.start(), Mailbox.open()]);
    folder = await mkdtemp(path.join(tmpdir(), 'caudal-contract-'));
    platform = await Platform.start({
      REDIS_URL: redis.url,
      CAUDAL_LADDER: 'none',
      STRIPE_SECRET_KEY: FakeStripe.key,
      STRIPE_API_BASE: stripe.url,
      SMTP_URL: mailbox.url,
      SMTP_FROM: 'no-reply@live.example',
      // Each account comes from an address of its own, or some limits would be reached at once.
      CAUDAL_TRUSTED_PROXIES: '127.0.0.1',
    });
    await api(platform.web, 'POST', '/api/auth/register', { body: ADMIN });
    await administer(platform, 'make-admin', ADMIN.username);
  });

  afterAll(async () => {
    await platform?.stop();
    await redis?.stop();
    await stripe?.stop();
    await mailbox?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  test('no answer is a fault of the server, and none is other than described', { timeout: 400_000 }, async () => {
    const file = path.join(folder, 'report.json');
    // From a file, or it would leave out the operation that it has the document from.
    const document = await api<{ paths: Record<string, object> }>(platform.web, 'GET', '/api/openapi.json');
    await writeFile(path.join(folder, 'openapi.json'), JSON.stringify(document));
    described = Object.entries(document.paths).flatMap(([at, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${at}`),
    );
    const schemathesis = new Program(
      path.resolve(import.meta.dirname, '../../scripts/schemathesis.sh'),
      [
        'run',
        'openapi.json',
        `--url=${platform.web}`,
        '--phases=examples,coverage,fuzzing',
        `--checks=${CHECKS.join(',')}`,
        // Each operation has dozens of cases besides that follow from its schema alone. SEED=… tries others.
        '--max-examples=20',
        `--seed=${process.env.SEED ?? '20261130'}`,
        '--generation-database=none',
        '--generation-with-security-parameters=false',
        '--continue-on-failure',
        '--warnings=off',
        '--no-color',
      ],
      {
        cwd: folder,
        env: {
          PATH: process.env.PATH,
          HOME: process.env.HOME,
          XDG_CACHE_HOME: process.env.XDG_CACHE_HOME,
          CAUDAL_API: platform.web,
          CAUDAL_STRIPE: stripe.url,
          CAUDAL_ADMIN: ADMIN.username,
          CAUDAL_ADMIN_PASSWORD: ADMIN.password,
          CAUDAL_REPORT: file,
        },
      },
    );
    schemathesis.child.stdout?.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-40_000)));
    const code = await schemathesis.exited();
    report = JSON.parse(await readFile(file, 'utf8')) as Report;
    expect(code, log + schemathesis.stderr).toBe(0);
  });

  test('every operation was tried, and hardly any answer was that nobody is logged in', async () => {
    expect(Object.keys(report.operations).sort()).toEqual(described.sort());
    const all = Object.values(report.statuses).reduce((sum, count) => sum + count, 0);
    const share = (status: number) => (report.statuses[status] ?? 0) / all;
    expect(all).toBeGreaterThan(10 * described.length);
    expect(share(401), `of ${all} answers: ${JSON.stringify(report.statuses)}`).toBeLessThan(0.05);
    expect(share(429), `of ${all} answers: ${JSON.stringify(report.statuses)}`).toBeLessThan(0.05);
    // It gets somewhere: an operation that never succeeds is tried at its door only.
    const never = Object.entries(report.operations).filter(([, counts]) => !Object.keys(counts).some((status) => /^[23]/.test(status)));
    expect(never.map(([operation]) => operation).sort()).toEqual(NEVER);
  });
});

/** Operations for which something is needed that cannot be had through the api. */
const NEVER = [
  // Tokens that are only mailed.
  'POST /api/auth/email/verify',
  'POST /api/auth/password/reset',
  // A job that failed for days.
  'POST /api/admin/dead-letters/{id}/retry',
].sort();
