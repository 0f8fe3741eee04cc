import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, type Stream } from '../src/account.ts';
import { browse, newWindow, type Browser } from '../src/browser.ts';
import { connections } from '../src/connection.ts';
import { encode } from '../src/encoder.ts';
import { PlaylistRecord } from '../src/playlist-record.ts';
import { until, type Program } from '../src/process.ts';
import { processesNaming } from '../src/processes.ts';
import { ROLES, SeparateRoles } from '../src/separate-roles.ts';
import { Streamer, type Credentials } from '../src/streamer.ts';
import { outlive, Viewer } from '../src/viewer.ts';

/** One broadcast on a platform whose roles are processes of their own: each test goes on where the last one stopped. */
describe('a broadcast, with each role in a process of its own', () => {
  const closing: (() => Promise<unknown>)[] = [];
  let roles: SeparateRoles;
  let browser: Browser;
  let streamer: Streamer;
  let account: Credentials;
  let encoder: Program;
  let stream: Stream;
  let viewer: Viewer;
  let record: PlaylistRecord;

  beforeAll(async () => {
    roles = await SeparateRoles.prepare({ CAUDAL_LADDER: 'none' });
    closing.push(() => roles.stop());
    const chromium = await browse();
    browser = chromium.browser;
    closing.push(chromium.close);
  });

  afterAll(async () => {
    await record?.stop();
    await encoder?.stop('SIGKILL');
    for (const close of closing.reverse()) await close();
  });

  /** Lets something happen, and waits until she watches again and the playlist goes on. */
  async function viewerOutlives(what: string, happening: () => Promise<unknown>): Promise<void> {
    await outlive([viewer], what, happening, 150);
    expect(record.broken).toEqual([]);
    await until('a segment later', async () => {
      const { lastMsn } = record;
      return until('the next one', () => (record.lastMsn ?? 0) > (lastMsn ?? 0), 10_000);
    });
  }

  test('a role starts without a controller, and is ready once there is one', async () => {
    for (const role of ['ingest-router', 'hls-edge', 'api'] as const) roles.start(role);
    await until('the api serves its pages', async () => (await fetch(roles.web)).ok);
    for (const role of ['ingest-router', 'hls-edge', 'api'] as const) expect(await roles.isReady(role), role).toBe(false);
    roles.start('controller');
    for (const role of ROLES) await roles.ready(role);
  });

  test('she signs up, goes live, and is watched', async () => {
    streamer = new Streamer(await newWindow(browser), roles.web);
    await streamer.signUp('marea');
    await streamer.opensStudio();
    account = await streamer.reveals();
    expect(account.server).toBe(roles.rtmp);
    encoder = encode(`${account.server}/${account.key}`);
    await streamer.isLive();
    const [listed] = await api<Stream[]>(roles.web, 'GET', '/api/streams');
    if (!listed) throw new Error('she is not listed');
    stream = listed;
    record = new PlaylistRecord(new URL('source/index.m3u8', stream.streamUrl).href);
    viewer = await Viewer.open(await newWindow(browser), `${roles.web}/watch/${stream.id}`);
    await viewer.watches(90);
    await until('she sees that somebody watches', async () => {
      const { viewerCount } = await api<Stream>(roles.web, 'GET', `/api/streams/${stream.id}`);
      return viewerCount === 1;
    });
  });

  test('the edge is killed and started again: viewers go on, and her connection does not notice', async () => {
    const port = Number(new URL(account.server).port);
    const before = await connections(encoder.pid, port);
    await viewerOutlives('edge killed', () => roles.replace('hls-edge'));
    expect(await connections(encoder.pid, port)).toEqual(before);
    expect(record.discontinuities).toBe(0);
  });

  test('the controller is killed, and its workers with it: viewers go on, and her connection does not notice', async () => {
    const port = Number(new URL(account.server).port);
    const before = await connections(encoder.pid, port);
    expect(before).toHaveLength(1);
    await viewerOutlives('controller killed', () => roles.replace('controller'));
    expect(await connections(encoder.pid, port)).toEqual(before);
    expect(record.discontinuities).toBe(0);
    const { isLive, endedAt } = await api<Stream>(roles.web, 'GET', `/api/streams/${stream.id}`);
    expect([isLive, endedAt]).toEqual([true, null]);
  });

  test('the router is killed and started again: she comes back to the same broadcast', async () => {
    await viewerOutlives('router killed', async () => {
      await roles.replace('ingest-router');
      await encoder.exited();
      encoder = encode(`${account.server}/${account.key}`);
      const last = record.lastMsn ?? 0;
      await until('a segment of the new session', () => (record.lastMsn ?? 0) > last + 1);
    });
    expect(record.discontinuities).toBe(1);
    const [listed] = await api<Stream[]>(roles.web, 'GET', '/api/streams');
    expect(listed?.id).toBe(stream.id);
  });

  test('she ends it in her studio, and everybody learns so', async () => {
    await streamer.ends(() => !encoder.running);
    await until('our page says so', () => viewer.page.evaluate(() => window.__caudal?.status === 'ended'));
    await until('the playlist is closed', () => record.last?.ended);
    const ended = await until('the api knows', async () => {
      const { isLive, endedAt } = await api<Stream>(roles.web, 'GET', `/api/streams/${stream.id}`);
      return !isLive && endedAt !== null;
    });
    expect(ended).toBe(true);
    expect(viewer.problems).toEqual([]);
  });

  test('SIGTERM ends all of them in order, and leaves nothing behind', async () => {
    expect(await roles.terminate()).toEqual({ controller: 0, api: 0, 'ingest-router': 0, 'hls-edge': 0 });
    await until('no worker is left', async () => (await processesNaming(roles.folder)).length === 0);
  });
});
