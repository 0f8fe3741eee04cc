import { afterAll, beforeAll, expect, test } from 'vitest';

import { api, register, type Stream } from '../src/account.ts';
import { encode } from '../src/encoder.ts';
import { Collector } from '../src/otlp.ts';
import { until } from '../src/process.ts';
import { ROLES, SeparateRoles } from '../src/separate-roles.ts';

let collector: Collector;
let roles: SeparateRoles;

beforeAll(async () => {
  collector = await Collector.start();
  roles = await SeparateRoles.prepare({ CAUDAL_LADDER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, CAUDAL_RECONNECT_WINDOW: '1s' });
  for (const role of ROLES) roles.start(role);
  for (const role of ROLES) await roles.ready(role);
});

afterAll(async () => {
  await roles?.stop();
  await collector?.stop();
});

test("a broadcast's spans, of router, controller and worker, are one trace under its own id", async () => {
  const account = await register(roles.web, 'tracy');
  const encoder = encode(`${account.rtmpUrl}/${account.streamKey}`);
  const stream = await until('live', async () => (await api<Stream[]>(roles.web, 'GET', '/api/streams'))[0], 60_000);
  const trace = stream.id.replaceAll('-', '');
  const of = (service: string) => collector.spans.filter((span) => span.service === service).map(({ name }) => name);
  await until('the first segment', () => of('caudal-transcoder-worker').includes('first segment'), 60_000);
  await encoder.stop('SIGTERM');
  const whole = await until('the broadcast', () => collector.spans.find(({ name }) => name === 'broadcast'), 90_000);
  await until('the publisher has left', () => of('caudal-ingest-router').includes('publish'), 30_000);

  expect(of('caudal-ingest-router')).toEqual(expect.arrayContaining(['admission', 'publish', 'relay']));
  expect(of('caudal-controller')).toEqual(expect.arrayContaining(['pending', 'starting', 'live', 'claim', 'assignment', 'ending', 'broadcast']));
  expect(of('caudal-transcoder-worker')).toEqual(expect.arrayContaining(['first part', 'first segment', 'worker ending']));
  expect(new Set(collector.spans.map((span) => span.trace))).toEqual(new Set([trace]));
  expect([whole.id, whole.parent]).toEqual([trace.slice(16), '']);
  for (const span of collector.spans.filter(({ name }) => name !== 'broadcast')) expect(span.parent, span.name).toBe(whole.id);
  expect(collector.spans.filter(({ name }) => name === 'broadcast')).toHaveLength(1);
});
