import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as passed } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { browseAs, newWindow, type Browser, type Page } from '../src/browser.ts';
import { Chatter } from '../src/chatter.ts';
import { Platform } from '../src/platform.ts';
import { until } from '../src/process.ts';

/** The server refuses more than one message of a person a second. */
const BETWEEN = 1_100;

/** People beside a stream that is about to begin: chat needs no picture. */
describe('chat', () => {
  let platform: Platform;
  let profile: string;
  let browser: Browser;
  let marea: Account;
  let ana: Account;
  let bob: Account;
  let stream: Stream;
  /** Ana in the browser's usual windows, bob in a profile of his own. */
  let anas: Chatter;
  let bobs: Chatter;
  /** What browsers said on their consoles since the last look. */
  let complaints: string[] = [];

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    browser = await browseAs(profile);
    [marea, ana, bob] = [
      await register(platform.web, 'marea'),
      await register(platform.web, 'ana'),
      await register(platform.web, 'bob'),
    ];
    stream = await prepare();
    anas = new Chatter(listenTo(await browser.newPage()), platform.web);
    bobs = new Chatter(listenTo(await newWindow(browser)), platform.web);
    await anas.opens(stream.id);
    await anas.logsIn(ana.username, ana.password);
    await bobs.opens(stream.id);
    await bobs.logsIn(bob.username, bob.password);
  });

  afterAll(async () => {
    await browser?.close();
    await platform?.stop();
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  function prepare(): Promise<Stream> {
    return api<Stream>(platform.web, 'POST', '/api/streams', {
      token: marea.accessToken,
      body: { title: 'Songs from the harbour', description: '' },
    });
  }

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

  /** What the server keeps, the oldest first. */
  async function kept(): Promise<string[]> {
    const lines = await api<{ message: string }[]>(platform.web, 'GET', `/api/chat/${stream.id}?limit=100`);
    return lines.map(({ message }) => message).reverse();
  }

  /** Everybody shows the end of what the server keeps, each line once and in its order. */
  async function agree(...chatters: Chatter[]): Promise<void> {
    for (const chatter of chatters) {
      await until('the page shows what the server keeps', async () => {
        const [shown, said] = [await chatter.texts(), await kept()];
        const ids = (await chatter.lines()).map(({ id }) => id);
        return new Set(ids).size === ids.length && shown.length > 0 && shown.join('\n') === said.slice(-shown.length).join('\n');
      });
    }
  }

  test('is heard by both, in one order, as text', async () => {
    const hello = fresh('hello');
    await anas.says(hello);
    await bobs.hears(hello);
    const markup = `<b>bold</b> @ana see https://example.org/${fresh('page')}.`;
    await bobs.says(markup);
    await anas.hears(markup);
    await agree(anas, bobs);
    expect(await anas.draft()).toBe('');
    const link = await anas.page.$eval('[role="log"] li:last-child a', (one) => {
      const { href, rel, target } = one as HTMLAnchorElement;
      return { href, rel, target };
    });
    expect(link).toMatchObject({ rel: 'noopener noreferrer nofollow ugc', target: '_blank' });
    expect(link.href).toMatch(/^https:\/\/example\.org\/page\d+$/);
    expect(await anas.page.$('[role="log"] b')).toBeNull();
    // It speaks to ana, and to nobody else.
    expect(await anas.page.$('[role="log"] li.to-me:last-child')).not.toBeNull();
    expect(await bobs.page.$('[role="log"] li.to-me')).toBeNull();
    nothingWasSaid();
  });

  test('shows what a reply answers', async () => {
    const question = fresh('a question');
    await passed(BETWEEN);
    await anas.says(question);
    await bobs.hears(question);
    await bobs.repliesTo(question);
    await bobs.isTold('Replying to ana');
    const answer = fresh('an answer');
    await bobs.says(answer);
    await anas.hears(answer);
    const quote = await anas.page.$eval('[role="log"] li:last-child .quote', (one) => one.textContent);
    expect(quote).toContain(`ana: ${question}`);
    nothingWasSaid();
  });

  test('leaves the player’s keys alone while somebody types', async () => {
    const muted = () => anas.page.$eval('video', (video) => video.muted);
    const before = await muted();
    await anas.types('m');
    expect(await anas.draft()).toBe('m');
    expect(await muted()).toBe(before);
    await anas.page.keyboard.press('Backspace');
    await anas.page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await anas.page.keyboard.press('m');
    await until('m switches the sound elsewhere', async () => (await muted()) !== before);
    await anas.page.keyboard.press('m');
    nothingWasSaid();
  });

  test('keeps the text of somebody who talks too fast, and says how long to wait', async () => {
    await passed(BETWEEN);
    const [first, second] = [fresh('first'), fresh('second')];
    await anas.says(first);
    await anas.hears(first);
    await anas.page.$eval('#chat-text', (field, text) => {
      (field as HTMLTextAreaElement).value = text;
      field.dispatchEvent(new Event('input', { bubbles: true }));
    }, second);
    await anas.page.keyboard.press('Enter');
    await anas.isTold('Not so fast');
    expect(await anas.draft()).toBe(second);
    await until('sending is possible again', () => anas.page.$('section[aria-label="Chat"] form [aria-disabled="false"]'));
    await anas.page.focus('#chat-text');
    await anas.page.keyboard.press('Enter');
    await bobs.hears(second);
    nothingWasSaid();
  });

  test('takes away what the streamer or its author deletes, for everybody', async () => {
    const window = await newWindow(browser);
    const mareas = new Chatter(listenTo(window), platform.web);
    await mareas.opens(stream.id);
    await mareas.logsIn(marea.username, marea.password);
    const [rude, mistaken] = [fresh('rude'), fresh('mistaken')];
    await passed(BETWEEN);
    await anas.says(rude);
    await bobs.says(mistaken);
    for (const one of [anas, bobs, mareas]) await until('both lines', async () => {
      const texts = await one.texts();
      return texts.includes(rude) && texts.includes(mistaken);
    });
    expect(await bobs.mayDelete(rude)).toBe(false);
    expect(await mareas.mayDelete(rude)).toBe(true);
    await mareas.deletes(rude);
    await bobs.deletes(mistaken);
    for (const one of [anas, bobs, mareas]) await until('neither line', async () => {
      const texts = await one.texts();
      return !texts.includes(rude) && !texts.includes(mistaken);
    });
    expect(await kept()).not.toContain(rude);
    await window.close();
    nothingWasSaid();
  });

  test.each(['is stopped', 'is killed'])('loses and doubles nothing when the api %s and starts again', async (how) => {
    const [before, meanwhile, after] = [fresh('before'), fresh('meanwhile'), fresh('after')];
    await passed(BETWEEN);
    await anas.says(before);
    await bobs.hears(before);
    if (how === 'is stopped') await platform.interrupt();
    else await platform.crash();
    for (const one of [anas, bobs]) await one.isTold('Reconnecting');
    // It waits for the server by itself.
    await anas.says(meanwhile);
    await passed(1_000);
    await platform.restart();
    await bobs.hears(meanwhile, 60_000);
    await anas.hears(meanwhile);
    await passed(BETWEEN);
    await bobs.says(after);
    await anas.hears(after);
    await agree(anas, bobs);
    expect((await kept()).filter((text) => text === meanwhile)).toHaveLength(1);
    expect((await kept()).filter((text) => text === before)).toHaveLength(1);
    // Browsers complain about servers that are away.
    complaints = [];
  });

  test('has what was said while somebody’s network was away', async () => {
    const missed = [fresh('missed'), fresh('missed'), fresh('missed')];
    await anas.page.setOfflineMode(true);
    for (const text of missed) {
      await passed(BETWEEN);
      await bobs.says(text);
      await bobs.hears(text);
    }
    await anas.page.setOfflineMode(false);
    await anas.hears(missed[2] ?? '', 60_000);
    await agree(anas, bobs);
    complaints = [];
  });

  test('has what was said while the browser had frozen the tab', async () => {
    const devtools = await anas.page.createCDPSession();
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    const missed = [fresh('frozen'), fresh('frozen')];
    for (const text of missed) {
      await passed(BETWEEN);
      await bobs.says(text);
      await bobs.hears(text);
    }
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    await anas.page.bringToFront();
    await anas.hears(missed[1] ?? '', 60_000);
    await agree(anas, bobs);
    complaints = [];
  });

  test('opened three times in one profile says everything once in each, and ends with the log-out', async () => {
    const tabs = [anas];
    for (let more = 0; more < 2; more += 1) {
      const tab = new Chatter(listenTo(await browser.newPage()), platform.web);
      await tab.opens(stream.id);
      // Nobody logs in here again.
      await tab.page.waitForSelector('#chat-text');
      tabs.push(tab);
    }
    for (const tab of tabs) {
      await passed(BETWEEN);
      const text = fresh('from a tab');
      await tab.says(text);
      for (const other of [...tabs, bobs]) await other.hears(text);
    }
    await agree(...tabs, bobs);
    await anas.page.bringToFront();
    await anas.page.click('header button.plain');
    for (const tab of tabs.slice(1)) {
      await tab.page.bringToFront();
      await tab.page.waitForSelector('section[aria-label="Chat"] a[href^="/login"]');
    }
    // Who is logged out still hears.
    const still = fresh('still here');
    await passed(BETWEEN);
    await bobs.says(still);
    for (const tab of tabs.slice(1)) {
      await tab.hears(still);
      await tab.page.close();
    }
    await anas.opens(stream.id);
    await anas.logsIn(ana.username, ana.password);
    nothingWasSaid();
  });

  /** Where things are, in pixels of the page. */
  async function boxes(page: Page) {
    const box = async (selector: string) => {
      const found = await (await page.waitForSelector(selector))?.boundingBox();
      if (!found) throw new Error(`${selector} is not seen`);
      return found;
    };
    return { player: await box('.frame'), chat: await box('section[aria-label="Chat"]'), field: await box('#chat-text') };
  }

  test('stands beside the player on a desk, as tall as that, and stays hidden when it was hidden', async () => {
    await anas.page.bringToFront();
    await anas.page.setViewport({ width: 1440, height: 900 });
    const { player, chat } = await boxes(anas.page);
    expect(chat.x).toBeGreaterThan(player.x + player.width);
    expect(Math.abs(chat.height - player.height)).toBeLessThan(2);
    expect(chat.width).toBe(352);
    expect(player.width).toBeGreaterThan(900);
    const press = (words: string) => anas.page.locator(`::-p-xpath(//button[contains(., "${words}")])`).click();
    await press('Hide chat');
    await anas.page.reload();
    await anas.page.waitForFunction(() => document.body.textContent?.includes('Show chat'));
    const wider = await (await anas.page.waitForSelector('.frame'))?.boundingBox();
    expect(wider?.width).toBeGreaterThan(player.width);
    expect(await anas.page.$('[role="log"]')).toBeNull();
    await press('Show chat');
    await anas.page.waitForSelector('#chat-text');
    await agree(anas);
    nothingWasSaid();
  });

  test('stands below the player on a phone, and is talked in there', async () => {
    const page = listenTo(await newWindow(browser));
    await page.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true, deviceScaleFactor: 1 });
    const phone = new Chatter(page, platform.web);
    await phone.opens(stream.id);
    await phone.logsIn(marea.username, marea.password);
    const { player, chat, field } = await boxes(page);
    expect(player.width).toBe(390);
    expect(chat.y).toBeGreaterThanOrEqual(player.y + player.height);
    expect(field.y + field.height).toBeLessThanOrEqual(844);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    // Smaller letters make an iPhone zoom in.
    expect(await page.$eval('#chat-text', (one) => Number.parseFloat(getComputedStyle(one).fontSize))).toBeGreaterThanOrEqual(16);
    const text = fresh('from the phone');
    await phone.says(text);
    await bobs.hears(text);
    await page.close();
    nothingWasSaid();
  });

  test('shows older lines when somebody asks for them, and leaves them where they read', async () => {
    const many = await prepared(70);
    const page = listenTo(await newWindow(browser));
    const reader = new Chatter(page, platform.web);
    await reader.opens(many.id);
    await until('the last fifty lines', async () => (await reader.texts()).length === 50);
    await page.waitForSelector('::-p-xpath(//button[contains(., "Earlier messages")])');
    // Where a click of the mouse would scroll to first, which alone fetches them.
    await page.$eval('[role="log"]', (log) => {
      log.scrollTop = 0;
    });
    await until('all lines', async () => (await reader.texts()).length === 70);
    expect(await reader.texts()).toEqual(Array.from({ length: 70 }, (_, n) => `line ${n}`));
    await until('the button for the latest lines', () => page.$('::-p-xpath(//button[contains(., "atest messages")])'));
    await page.locator('::-p-xpath(//button[contains(., "atest messages")])').click();
    await until('the end', () =>
      page.$eval('[role="log"]', (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 3));
    await page.close();
    nothingWasSaid();
  });

  /** Another room, in which many people have each said something: one may not talk so fast. */
  async function prepared(count: number): Promise<Stream> {
    const host = await register(platform.web, fresh('host'));
    const room = await api<Stream>(platform.web, 'POST', '/api/streams', {
      token: host.accessToken,
      body: { title: 'A long talk', description: '' },
    });
    const people = await Promise.all(Array.from({ length: 7 }, () => register(platform.web, fresh('talker'))));
    for (let n = 0; n < count; n += 1) {
      const { accessToken = '' } = people[n % people.length] ?? {};
      if (n > 0 && n % people.length === 0) await passed(BETWEEN);
      await api(platform.web, 'POST', `/api/chat/${room.id}/messages`, {
        token: accessToken,
        body: { message: `line ${n}` },
      });
    }
    return room;
  }

  test('asks for nothing before the picture has had its time', async () => {
    const page = listenTo(await newWindow(browser));
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await page.waitForSelector('[role="log"]');
    const fetched = await page.evaluate(() => {
      const at = (name: RegExp) =>
        (performance.getEntriesByType('resource') as PerformanceResourceTiming[]).find((entry) => name.test(entry.name))
          ?.startTime ?? NaN;
      return { watch: at(/\/Watch-[^/]*\.js$/), chat: at(/\/Chat-[^/]*\.js$/) };
    });
    expect(fetched.chat - fetched.watch).toBeGreaterThan(1_900);
    await page.close();
    nothingWasSaid();
  });
});
