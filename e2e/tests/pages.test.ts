import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { answering } from '../src/answers.ts';
import { browseAs, shows, type Browser, type Page } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { until, type Program } from '../src/process.ts';
import { WebBuild } from '../src/web-build.ts';

/** The pages as somebody meets them who was here before, whose server has a bad moment, or whose browser is old. */
describe('the pages', () => {
  let platform: Platform;
  let build: WebBuild;
  let profile: string;
  let browser: Browser;
  let elsewhere: { server: Server; url: string };
  let account: Account;
  let encoder: Program;
  let stream: Stream;
  /** What browsers said on their consoles since the last look. */
  let complaints: string[] = [];

  beforeAll(async () => {
    build = await WebBuild.copy();
    platform = await Platform.start({
      CAUDAL_WEB_DIR: build.folder,
      CAUDAL_LADDER: 'none',
    });
    profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    browser = await browseAs(profile);
    account = await register(platform.web, 'marea');
    encoder = encode(`${account.rtmpUrl}/${account.streamKey}`, { size: '320x180', bitrate: '300k' });
    stream = await live(platform);
    elsewhere = await linksTo(() => platform.web);
  });

  afterAll(async () => {
    await encoder?.stop('SIGKILL');
    await browser?.close();
    elsewhere?.server.closeAllConnections();
    elsewhere?.server.close();
    await platform?.stop();
    await build?.remove();
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  /** A tab whose complaints are heard. */
  async function tab(from: { newPage(): Promise<Page> } = browser): Promise<Page> {
    const page = await from.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`${page.url()}: ${message.text()} ${message.location().url ?? ''}`);
    });
    page.on('pageerror', (error) => complaints.push(`${page.url()}: ${String(error)}`));
    return page;
  }

  function nothingWasSaid(): void {
    const said = complaints;
    complaints = [];
    expect(said).toEqual([]);
  }

  /** One browser, one profile: each page is opened by every way there is to come to it. */
  async function visitEverything(paths: Record<string, string>): Promise<void> {
    for (const [at, heading] of Object.entries(paths)) {
      const url = platform.web + at;
      const page = await tab();
      const there = (how: string) => shows(page, heading, how);
      await page.goto(url);
      await there('the first visit');
      await page.reload();
      await there('a reload');
      await page.goto(url);
      await there('a second visit');
      const devtools = await page.createCDPSession();
      const loaded = page.waitForNavigation();
      await devtools.send('Page.reload', { ignoreCache: true });
      await loaded;
      await there('a hard reload');
      await page.goto(`${elsewhere.url}${at}`);
      await Promise.all([page.waitForNavigation(), page.click('a')]);
      await there('a link from elsewhere');
      await page.goBack();
      await page.goForward();
      await there('back and forward');
      const second = await tab();
      await second.goto(url);
      await shows(second, heading, 'a second tab');
      await second.close();
      await page.close();
    }
    nothingWasSaid();
  }

  const everybody = () => ({
    '/': 'Live now',
    '/register': 'Sign up',
    '/login': 'Welcome back',
    [`/watch/${stream.id}`]: stream.title,
    '/nothing': 'There is nothing here',
  });

  test('are there each time, by whatever way somebody comes', async () => {
    await visitEverything(everybody());
  });

  test('are there for somebody who is logged in, and after the browser was closed and opened again', async () => {
    const page = await tab();
    await page.goto(`${platform.web}/login?next=/studio`);
    await page.type('#login', account.username);
    await page.type('#password', account.password);
    await page.click('form button.primary');
    await page.waitForSelector('#key');
    await page.close();
    // The key may be asked for ten times a minute: one round of the studio is nine.
    await visitEverything({ '/studio': 'You are live' });
    await browser.close();
    browser = await browseAs(profile);
    await visitEverything({ '/': 'Live now', [`/watch/${stream.id}`]: stream.title });
  });

  test('come in their new build after an update, also those that are open or kept', async () => {
    const open = await tab();
    await open.goto(platform.web);
    await shows(open, 'Live now', 'opening');
    const script = () => open.$eval('script[type=module]', (one) => (one as HTMLScriptElement).src);
    const before = await script();
    await build.update();
    // Its parts are gone from the server, and this browser does not have them either.
    await open.setCacheEnabled(false);
    await open.evaluate(() => document.querySelector<HTMLAnchorElement>('header a[href="/studio"]')?.click());
    await shows(open, 'You are live', 'an update');
    expect(await script()).not.toBe(before);
    await open.close();
    complaints = [];
    await visitEverything({ '/': 'Live now', [`/watch/${stream.id}`]: stream.title });
  });

  test('from the browser’s history, whose scripts are gone, are loaded anew', async () => {
    const page = await tab();
    const old = await page.goto(platform.web);
    const kept = (await old?.text()) ?? '';
    expect(kept).toContain('/assets/');
    await build.update();
    // What a browser does that takes a page from its cache without asking.
    let unasked = true;
    await page.setRequestInterception(true);
    page.on('request', (request) => {
      const stale = unasked && request.isNavigationRequest();
      unasked &&= !stale;
      void (stale ? request.respond({ contentType: 'text/html', body: kept }) : request.continue());
    });
    await page.setCacheEnabled(false);
    await page.goto(platform.web);
    await shows(page, 'Live now', 'an update');
    await page.close();
    // What was gone was asked for, and the console says so.
    complaints = [];
  });

  test('say so, and do not load for ever, when their files are missing', async () => {
    await build.lose(/^(index|Watch)-.*\.js$/);
    const page = await tab();
    await page.setCacheEnabled(false);
    let loads = 0;
    page.on('request', (request) => (loads += request.isNavigationRequest() ? 1 : 0));
    await page.goto(platform.web);
    await shows(page, 'This page could not be loaded', 'files went missing');
    expect(loads).toBe(2);
    await page.close();
    complaints = [];
    await build.remove();
    const whole = await WebBuild.copy();
    await whole.moveTo(build.folder);
    await visitEverything({ '/': 'Live now' });
  });

  test('of a new streamer have nothing to complain about', async () => {
    const person = await browser.createBrowserContext();
    const page = await tab(person);
    await page.goto(`${platform.web}/register`);
    await page.type('#username', 'newcomer');
    await page.type('#email', 'newcomer@example.org');
    await page.type('#password', 'correct horse battery');
    await page.click('form button.primary');
    await page.waitForSelector('#key');
    const asked = { open: 0 };
    page.on('response', (response) => (asked.open += response.url().endsWith('/api/streams/open') ? 1 : 0));
    await until('the studio has looked for a stream twice', () => asked.open >= 2);
    nothingWasSaid();
    await person.close();
  });

  test.each([
    [409, 'stream_key_unreadable'],
    [500, 'internal'],
  ])('show the way out when the stream key cannot be had: %d %s', async (status, code) => {
    const page = await tab();
    await answering(page, '/api/auth/stream-key', status, code);
    await page.goto(`${platform.web}/studio`);
    await page.locator('::-p-xpath(//button[contains(., "Make a new key")])').click();
    await page.waitForSelector('#rotate-password');
    expect(await page.$eval('main', (main) => main.textContent)).not.toContain('Loading…');
    await page.close();
    complaints = [];
  });

  test('keep somebody logged in whom the server cannot check just now', async () => {
    const page = await tab();
    const answers = await answering(page, '/api/auth/refresh', 503, 'unavailable');
    await page.goto(`${platform.web}/studio`);
    await page.waitForFunction(() => document.body.textContent?.includes('could not be checked yet'));
    expect(new URL(page.url()).pathname).toBe('/studio');
    answers.stop();
    await page.waitForSelector('#key');
    await page.close();
    complaints = [];
  });

  test('do not call somebody logged out whom the server still knows', async () => {
    const [page, other] = [await tab(), await tab()];
    for (const one of [page, other]) {
      await one.goto(platform.web);
      await one.waitForSelector('header button.plain');
    }
    const answers = await answering(page, '/api/auth/logout', 503, 'unavailable');
    await page.bringToFront();
    await page.click('header button.plain');
    await page.waitForFunction(() => document.body.textContent?.includes('You are not logged out yet'));
    expect(await page.$('header a[href="/studio"]')).not.toBeNull();
    answers.stop();
    for (const one of [page, other]) {
      await one.bringToFront();
      await one.waitForSelector('header a[href="/login"]');
    }
    await page.bringToFront();
    await page.reload();
    await page.waitForSelector('header a[href="/login"]');
    await Promise.all([page.close(), other.close()]);
    complaints = [];
  });

  test('of a stream that has not begun wait without a complaint, and begin by themselves', async () => {
    const later = await register(platform.web, fresh('later'));
    const prepared = await api<Stream>(platform.web, 'POST', '/api/streams', {
      token: later.accessToken,
      body: { title: 'Soon', description: '' },
    });
    const page = await tab();
    await page.goto(`${platform.web}/watch/${prepared.id}`);
    await page.waitForFunction(() => document.body.textContent?.includes('Waiting for the stream to start'));
    const sound = encode(`${later.rtmpUrl}/${later.streamKey}`, { video: false });
    try {
      // Sound alone: there is a word for it, in place of a black picture.
      await page.waitForFunction(() => window.__caudal?.status === 'playing' && !!document.querySelector('.sound-only'));
      await page.goto(platform.web);
      await page.waitForFunction(() => document.querySelectorAll('article').length === 2);
      nothingWasSaid();
    } finally {
      await sound.stop('SIGKILL');
      await page.close();
    }
  });

  test('let letter keys be switched off', async () => {
    const page = await tab();
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await page.waitForFunction(() => window.__caudal?.status === 'playing');
    const muted = () => page.$eval('video', (video) => video.muted);
    const before = await muted();
    await page.keyboard.press('m');
    await until('m switches the sound', async () => (await muted()) !== before);
    await page.hover('video');
    await page.click('.opener');
    await page.click('[role="menuitemcheckbox"]');
    await page.keyboard.press('Escape');
    for (const visit of ['this', 'the next'] as const) {
      if (visit === 'the next') {
        await page.reload();
        await page.waitForFunction(() => window.__caudal?.status === 'playing');
      }
      const now = await muted();
      await page.keyboard.press('m');
      // The space bar is no letter; when it has worked, the letter before it would have.
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
      await page.keyboard.press(' ');
      await page.waitForFunction(() => window.__caudal?.status === 'paused');
      expect(await muted(), `${visit} visit`).toBe(now);
    }
    await page.close();
    nothingWasSaid();
  });

  test('play in a browser that has none of what came after the oldest one promised', async () => {
    const page = await tab();
    await page.evaluateOnNewDocument(() => {
      const gone: [object, string[]][] = [
        [AbortSignal, ['timeout', 'any']],
        [Array.prototype, ['at', 'findLast', 'findLastIndex', 'toSorted', 'toReversed', 'toSpliced', 'with']],
        [String.prototype, ['at', 'isWellFormed', 'toWellFormed']],
        [Object, ['hasOwn', 'groupBy']],
        [Promise, ['withResolvers', 'try']],
        [URL, ['canParse', 'parse']],
        [Crypto.prototype, ['randomUUID']],
        [Navigator.prototype, ['locks', 'clipboard', 'userActivation']],
        [Document.prototype, ['fullscreenElement', 'exitFullscreen', 'pictureInPictureEnabled', 'startViewTransition']],
        [Element.prototype, ['requestFullscreen', 'checkVisibility']],
        [HTMLVideoElement.prototype, ['requestVideoFrameCallback', 'requestPictureInPicture']],
        [window, ['structuredClone', 'ManagedMediaSource', 'scheduler', 'reportError', 'Temporal', 'Iterator']],
      ];
      for (const [from, names] of gone) for (const name of names) Reflect.deleteProperty(from, name);
      const matches = Element.prototype.matches;
      Element.prototype.matches = function (this: Element, selector: string) {
        if (selector.includes(':focus-visible')) throw new SyntaxError('unknown pseudo-class');
        return matches.call(this, selector);
      } as typeof matches;
    });
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await page.waitForFunction(() => window.__caudal?.status === 'playing');
    await page.keyboard.press('f');
    for (const [at, heading] of Object.entries({ '/': 'Live now', '/nothing': 'There is nothing here' })) {
      await page.goto(platform.web + at);
      await shows(page, heading, 'a visit with an old browser');
    }
    await page.close();
    nothingWasSaid();
  });

  test.each([
    ['plays with the browser’s own HLS where there is no MediaSource', true],
    ['says so where the browser can play nothing', false],
  ])('of a stream %s', async (_, native) => {
    const page = await tab();
    await page.evaluateOnNewDocument((hls) => {
      for (const name of ['MediaSource', 'ManagedMediaSource', 'WebKitMediaSource']) Reflect.deleteProperty(window, name);
      const can = HTMLMediaElement.prototype.canPlayType;
      HTMLMediaElement.prototype.canPlayType = function (type) {
        return !hls && type.includes('mpegurl') ? '' : can.call(this, type);
      };
    }, native);
    await page.goto(`${platform.web}/watch/${stream.id}`);
    if (native) await page.waitForFunction(() => window.__caudal?.status === 'playing');
    else await page.waitForFunction(() => document.body.textContent?.includes('This browser cannot play live streams'));
    await page.close();
    nothingWasSaid();
  });

  test('copy the stream key where there is no HTTPS', async () => {
    const { port } = new URL(platform.web);
    const other = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    const plain = await browseAs(other, ['--host-resolver-rules=MAP home.test 127.0.0.1']);
    try {
      const page = await plain.newPage();
      await page.goto(`http://home.test:${port}/login?next=/studio`);
      expect(await page.evaluate(() => window.isSecureContext)).toBe(false);
      await page.type('#login', account.username);
      await page.type('#password', account.password);
      await page.click('form button.primary');
      await page.waitForSelector('#key');
      await page.evaluate(() => {
        document.addEventListener('copy', () => Object.assign(window, { copied: String((document.activeElement as HTMLTextAreaElement).value) }));
      });
      await page.click('button[aria-label="Copy the stream key"]');
      await page.waitForFunction(() => document.body.textContent?.includes('Stream key copied'));
      expect(await page.evaluate(() => (window as { copied?: string }).copied)).toBe(account.streamKey);
    } finally {
      await plain.close();
      await rm(other, { recursive: true, force: true });
    }
  });
});

async function live(platform: Platform): Promise<Stream> {
  return until('a live stream', async () => (await api<Stream[]>(platform.web, 'GET', '/api/streams'))[0], 60_000);
}

/** Another site, whose every page has one link: to the same path of ours. */
async function linksTo(ours: () => string): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/html').end(`<!doctype html><title>Elsewhere</title>
      <link rel="icon" href="data:,"><a href="${ours()}${request.url ?? '/'}">there</a>`);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  // Another host, so another site: `localhost` and `127.0.0.1` have nothing in common for a browser.
  return { server, url: `http://localhost:${(server.address() as AddressInfo).port}` };
}
