import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, fresh, register, type Stream } from '../src/account.ts';
import { answering } from '../src/answers.ts';
import { browseAs, newWindow, shows, type Browser, type Page } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { until, type Program } from '../src/process.ts';
import { Streamer } from '../src/streamer.ts';

/** Somebody broadcasts, somebody else finds and follows them: each test goes on where the one before it ended. */
describe('people', () => {
  const TITLE = 'Songs from the harbour';
  let platform: Platform;
  let profile: string;
  let browser: Browser;
  /** Who broadcasts, in a window of her own. */
  let marea: Streamer;
  /** Who watches, in the browser's usual window. */
  let ana: Page;
  let encoder: Program;
  let stream: Stream;
  /** What browsers said on their consoles since the last look. */
  let complaints: string[] = [];

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    browser = await browseAs(profile);
    marea = new Streamer(listenTo(await newWindow(browser)), platform.web);
    await marea.signUp('marea');
    ana = listenTo(await browser.newPage());
    await new Streamer(ana, platform.web).signUp('ana');
    await ana.waitForSelector('#key');
  });

  afterAll(async () => {
    await encoder?.stop('SIGKILL');
    await browser?.close();
    await platform?.stop();
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  function listenTo(page: Page): Page {
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

  /** A page behind another one is painted seldom, and asks the server nothing. */
  async function go(page: Page, to: string): Promise<void> {
    await page.bringToFront();
    await page.goto(platform.web + to);
  }
  const says = (page: Page, words: string) =>
    page.waitForFunction((some) => document.querySelector('main')?.textContent?.includes(some), {}, words);
  const pathOf = (page: Page) => new URL(page.url()).pathname;
  const leadsTo = (page: Page, to: string) => until(`the page ${to}`, () => pathOf(page) === to);

  /** By the keyboard, which also shows that it can be done so. */
  async function press(page: Page, selector: string): Promise<void> {
    await page.waitForSelector(selector);
    await page.focus(selector);
    await page.keyboard.press('Enter');
  }

  /** Presses the follow button, and waits until the server knows. */
  async function toggleFollow(page: Page): Promise<void> {
    const told = page.waitForResponse((response) => response.url().endsWith('/follow'));
    await press(page, 'main button[aria-pressed]');
    expect((await told).status()).toBe(204);
  }

  const follows = (page: Page, wanted: boolean) => page.waitForSelector(`main button[aria-pressed="${wanted}"]`);
  const FOLLOWING = 'section[aria-labelledby="following"]:not([hidden]) article';

  test('choose a category and a language in the studio, by the keyboard alone', async () => {
    const { page } = marea;
    await page.bringToFront();
    await marea.opensStudio();
    await page.type('#title', TITLE);
    await page.type('#categories', 'mus');
    await page.waitForSelector('#categories[aria-activedescendant]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('button[aria-label="Remove Music"]');
    await page.type('#categories', 'tra');
    await page.waitForSelector('#categories[aria-activedescendant]');
    await page.keyboard.press('Enter');
    await press(page, 'button[aria-label="Remove Travel"]');
    await page.waitForFunction(() => !document.querySelector('button[aria-label="Remove Travel"]'));
    await page.select('#language', 'es');
    await press(page, 'section[aria-labelledby="details"] .row button');
    await says(page, 'Saved');
    const { server, key } = await marea.reveals();
    encoder = encode(`${server}/${key}`, { size: '320x180', bitrate: '300k' });
    await marea.isLive();
    stream = await until('a live stream', async () => (await api<Stream[]>(platform.web, 'GET', '/api/streams'))[0], 60_000);
    expect(stream).toMatchObject({ title: TITLE, language: 'es', categories: [{ slug: 'music' }] });
    await page.reload();
    await page.waitForSelector('button[aria-label="Remove Music"]');
    expect(await page.$eval('#language', (field) => (field as HTMLSelectElement).value)).toBe('es');
    nothingWasSaid();
  });

  test('come from a card to the channel, the category and the stream', async () => {
    await go(ana, '/');
    for (const [link, to] of [
      ['article a.person', '/@marea'],
      ['article a[href^="/categories/"]', '/categories/music'],
      ['article a', `/watch/${stream.id}`],
    ] as const) {
      await ana.waitForSelector(link);
      await ana.click(link);
      await leadsTo(ana, to);
      await ana.goBack();
    }
    // The card leads to the stream wherever nothing else is.
    await ana.waitForSelector('article .poster');
    await ana.click('article .poster');
    await leadsTo(ana, `/watch/${stream.id}`);
    await ana.waitForFunction(() => window.__caudal?.status === 'playing');
    nothingWasSaid();
  });

  test('follow on the channel page, and see it on the watch page and at home', async () => {
    await go(ana, '/@marea');
    await shows(ana, 'marea', 'opening');
    await says(ana, TITLE);
    expect(await ana.title()).toBe('marea (@marea) · Caudal');
    await says(ana, '0 followers');
    await toggleFollow(ana);
    await follows(ana, true);
    await says(ana, '1 follower');
    await ana.reload();
    await follows(ana, true);
    await go(ana, `/watch/${stream.id}`);
    await follows(ana, true);
    await go(ana, '/');
    await ana.waitForSelector(FOLLOWING);
    nothingWasSaid();
  });

  test('have their last wish carried out when they press again and again', async () => {
    await go(ana, '/@marea');
    await follows(ana, true);
    await ana.evaluate(() => {
      for (let times = 0; times < 5; times += 1) document.querySelector<HTMLElement>('main button[aria-pressed]')?.click();
    });
    await follows(ana, false);
    await until('marea has no followers', async () => {
      const { followers } = await api<{ followers: number }>(platform.web, 'GET', '/api/users/@marea');
      return followers === 0;
    });
    await toggleFollow(ana);
    nothingWasSaid();
  });

  test('are told when a follow was refused, which is taken back', async () => {
    const page = listenTo(await browser.newPage());
    await answering(page, `/api/users/${stream.user.id}/follow`, 409, 'too_many');
    await go(page, '/@marea');
    await follows(page, true);
    await press(page, 'main button[aria-pressed]');
    await says(page, 'This list is full.');
    await follows(page, true);
    await page.close();
    complaints = [];
  });

  test('see who is live though those whom they follow cannot be had', async () => {
    const page = listenTo(await browser.newPage());
    await answering(page, '/api/users/me/following/live', 503, 'unavailable');
    await go(page, '/');
    await page.waitForSelector('main article');
    await page.waitForSelector('header a[href="/studio"]');
    await until('the console has heard of it', () => complaints.length > 0);
    expect(await page.$('main [role="alert"]')).toBeNull();
    expect(await page.$(FOLLOWING)).toBeNull();
    await page.close();
    complaints = [];
  });

  test('find streams by category and language', async () => {
    await go(ana, '/categories');
    await ana.waitForSelector('main a[href="/categories/music"]');
    await says(ana, '1 live');
    await press(ana, 'main a[href="/categories/music"]');
    await shows(ana, 'Music', 'a link');
    await ana.waitForSelector('main article');
    await ana.select('#language', 'fr');
    await says(ana, 'Nobody is live in French right now');
    expect(ana.url()).toContain('language=fr');
    await ana.reload();
    await says(ana, 'Nobody is live in French right now');
    await ana.select('#language', 'es');
    await ana.waitForSelector('main article');
    await go(ana, '/categories/travel');
    await says(ana, 'Nobody is live here right now');
    nothingWasSaid();
  });

  test('search for people, streams and categories', async () => {
    await go(ana, '/');
    for (const [words, section, link] of [
      ['mare', 'channels', '/@marea'],
      ['harbour', 'streams', `/watch/${stream.id}`],
      ['musi', 'categories', '/categories/music'],
    ] as const) {
      const field = 'header [role="search"] input';
      await ana.waitForSelector(field);
      await ana.$eval(field, (input) => (input as HTMLInputElement).select());
      await ana.type(field, words);
      await ana.keyboard.press('Enter');
      await shows(ana, `Results for “${words}”`, 'a search');
      await ana.waitForSelector(`section[aria-labelledby="${section}"] a[href="${link}"]`);
    }
    await go(ana, '/search?q=nobody+is+called+that');
    await says(ana, 'Nothing found');
    await go(ana, '/search?q=a');
    await says(ana, 'at least two letters');
    nothingWasSaid();
  });

  test('say who they are in the settings', async () => {
    const { page } = marea;
    await go(page, '/settings');
    await page.waitForSelector('#display-name');
    await page.type('#display-name', 'Marea Alta');
    await page.type('#bio', 'Songs, mostly.');
    await press(page, 'main form button.primary');
    await says(page, 'Saved');
    await page.waitForFunction(() => document.querySelector('header .who')?.textContent?.includes('Marea Alta'));
    await press(page, 'header .who');
    await leadsTo(page, '/@marea');
    await shows(page, 'Marea Alta', 'a link');
    await says(page, 'Songs, mostly.');
    expect(await page.$('main button[aria-pressed]')).toBeNull();
    nothingWasSaid();
  });

  test('block, and unblock in the settings', async () => {
    await go(ana, '/@marea');
    await press(ana, 'button[aria-label="Block Marea Alta"]');
    await says(ana, 'Block Marea Alta (@marea)?');
    await press(ana, 'main button.danger');
    await says(ana, 'You have blocked Marea Alta (@marea).');
    expect(await ana.$('main button[aria-pressed]')).toBeNull();
    await go(ana, '/');
    await ana.waitForSelector('main article');
    expect(await ana.$(FOLLOWING)).toBeNull();
    await go(ana, '/settings');
    await press(ana, 'button[aria-label="Unblock Marea Alta (@marea)"]');
    await says(ana, 'You have not blocked anybody.');
    await go(ana, '/@marea');
    await toggleFollow(ana);
    nothingWasSaid();
  });

  test('log in on the way to a follow, and come back', async () => {
    const eva = await register(platform.web, fresh('eva'));
    const page = listenTo(await newWindow(browser));
    await go(page, '/@marea');
    await press(page, 'main a[aria-label="Follow Marea Alta"]');
    await page.waitForSelector('#login');
    await page.type('#login', eva.username);
    await page.type('#password', eva.password);
    await page.click('form button.primary');
    await leadsTo(page, '/@marea');
    await follows(page, false);
    await page.browserContext().close();
    nothingWasSaid();
  });

  test('meet each page each time they open it', async () => {
    for (const [at, heading] of Object.entries({
      '/': 'Live now',
      '/@marea': 'Marea Alta',
      '/@ana': 'ana',
      [`/watch/${stream.id}`]: TITLE,
      '/categories': 'Categories',
      '/categories/music': 'Music',
      '/search': 'Search',
      '/search?q=mare': 'Results for “mare”',
      '/settings': 'Settings',
      '/studio': 'Go live',
    })) {
      const page = listenTo(await browser.newPage());
      await go(page, at);
      await shows(page, heading, 'the first visit');
      await page.reload();
      await shows(page, heading, 'a reload');
      await page.goto('about:blank');
      await go(page, at);
      await shows(page, heading, 'a second visit');
      await page.close();
    }
    nothingWasSaid();
  });

  test.each(['/@nobody-at-all', '/categories/no-such-thing'])('are told that there is nothing at %s', async (at) => {
    const page = listenTo(await browser.newPage());
    await go(page, at);
    await shows(page, 'There is nothing here', 'opening');
    await page.close();
    // The api's 404 is on the console.
    complaints = [];
  });

  test('who log out in one tab do so in the other: nothing of theirs stays', async () => {
    await go(ana, '/');
    await ana.waitForSelector(FOLLOWING);
    const channel = listenTo(await browser.newPage());
    await go(channel, '/@marea');
    await follows(channel, true);
    const other = listenTo(await browser.newPage());
    await go(other, '/');
    await other.waitForSelector('header button.plain');
    await other.click('header button.plain');
    await ana.bringToFront();
    await ana.waitForSelector('header a[href="/login"]');
    await ana.waitForFunction((section) => document.querySelector(section) === null, {}, FOLLOWING);
    await channel.bringToFront();
    await channel.waitForSelector('main a[aria-label="Follow Marea Alta"]');
    expect(await channel.$('main button[aria-pressed]')).toBeNull();
    await Promise.all([other.close(), channel.close()]);
    // What a page asked just before it heard of the log-out is refused, as it should be.
    complaints = complaints.filter((said) => !/401 .*\/api\/users\/me\/following\/live/.test(said));
    nothingWasSaid();
  });

  test('find a broadcast that is over among the past ones', async () => {
    await encoder.stop('SIGINT');
    await until('the stream is over', async () => {
      const { isLive } = await api<Stream>(platform.web, 'GET', `/api/streams/${stream.id}`);
      return !isLive;
    }, 90_000);
    await go(ana, '/@marea');
    await ana.waitForSelector(`section[aria-labelledby="past"] a[href="/watch/${stream.id}"]`);
    expect(await ana.$('section[aria-labelledby="live"]')).toBeNull();
    nothingWasSaid();
  }, 120_000);
});
