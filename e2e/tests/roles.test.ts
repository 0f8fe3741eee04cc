import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, type Stream } from '../src/account.ts';
import { browse, type Page } from '../src/browser.ts';
import { connections } from '../src/connection.ts';
import { encode } from '../src/encoder.ts';
import { PlaylistRecord } from '../src/playlist-record.ts';
import { until, type Program } from '../src/process.ts';
import { processesNaming } from '../src/processes.ts';
import { ROLES, SeparateRoles } from '../src/separate-roles.ts';
import { hitchesSince, Viewer } from '../src/viewer.ts';

/** One broadcast on a platform whose roles are processes of their own: each test goes on where the last one stopped. */
describe('a broadcast, with each role in a process of its own', () => {
  const closing: (() => Promise<unknown>)[] = [];
  let roles: SeparateRoles;
  let newWindow: () => Promise<Page>;
  let studio: Page;
  let account: { server: string; key: string };
  let encoder: Program;
  let stream: Stream;
  let viewer: Viewer;
  let record: PlaylistRecord;

  beforeAll(async () => {
    roles = await SeparateRoles.prepare({ CAUDAL_LADDER: 'none' });
    closing.push(() => roles.stop());
    const { browser, close } = await browse();
    closing.push(close);
    newWindow = async () => {
      const page = await (await browser.createBrowserContext()).newPage();
      await page.setViewport({ width: 1440, height: 900, deviceScaleFactor: 0.5 });
      return page;
    };
  });

  afterAll(async () => {
    await record?.stop();
    await encoder?.stop('SIGKILL');
    for (const close of closing.reverse()) await close();
  });

  /** Lets something happen, waits until she watches again, and gives the seconds that the picture stood still. */
  async function viewerOutlives(what: string, happening: () => Promise<unknown>): Promise<void> {
    const before = await viewer.see();
    await happening();
    const after = await viewer.watches(150, 45_000);
    console.log(`${what}: the picture stood still for ${JSON.stringify(hitchesSince(before, after))} s`);
    expect(record.broken).toEqual([]);
    expect(after.ended, 'nobody was told that it ended').toBe(0);
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
    studio = await newWindow();
    await studio.goto(`${roles.web}/register`);
    await studio.type('#username', 'marea');
    await studio.type('#email', 'marea@example.org');
    await studio.type('#password', 'correct horse battery');
    await studio.click('form button.primary');
    await studio.waitForFunction(() => location.pathname !== '/register');
    await studio.goto(`${roles.web}/studio`);
    await studio.waitForSelector('#key');
    await studio.click('button[aria-label="Show the stream key"]');
    await studio.waitForFunction(() => !document.querySelector<HTMLInputElement>('#key')?.value.startsWith('•'));
    const field = (id: string) => studio.$eval(`#${id}`, (input) => (input as HTMLInputElement).value);
    account = { server: await field('server'), key: await field('key') };
    expect(account.server).toBe(roles.rtmp);
    encoder = encode(`${account.server}/${account.key}`);
    await studio.waitForFunction(() => document.querySelector('h1')?.textContent === 'You are live');
    const [listed] = await api<Stream[]>(roles.web, 'GET', '/api/streams');
    if (!listed) throw new Error('she is not listed');
    stream = listed;
    record = new PlaylistRecord(new URL('source/index.m3u8', stream.streamUrl).href);
    viewer = await Viewer.open(await newWindow(), `${roles.web}/watch/${stream.id}`);
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
    await studio.bringToFront();
    await until('her encoder is turned away', async () => {
      for (const words of ['End stream', 'Yes, end it']) {
        await (await studio.$(`::-p-xpath(//button[normalize-space()="${words}"])`))?.click();
      }
      return !encoder.running;
    });
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
