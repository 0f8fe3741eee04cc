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
/** Of slow mode: long enough to be seen counting down, and one of the choices that the page offers. */
const SLOW = 5;

/** A streamer and two who talk, beside a stream that is about to begin: chat needs no picture. */
describe('moderation', () => {
  let platform: Platform;
  let profile: string;
  let browser: Browser;
  let marea: Account;
  let stream: Stream;
  let mareas: Chatter;
  let anas: Chatter;
  let bobs: Chatter;
  let complaints: string[] = [];

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    browser = await browseAs(profile);
    marea = await register(platform.web, 'marea');
    const [ana, bob] = [await register(platform.web, 'ana'), await register(platform.web, 'bob')];
    stream = await api<Stream>(platform.web, 'POST', '/api/streams', {
      token: marea.accessToken,
      body: { title: 'Songs from the harbour', description: '' },
    });
    mareas = await sits(marea);
    anas = await sits(ana);
    bobs = await sits(bob);
  });

  afterAll(async () => {
    await browser?.close();
    await platform?.stop();
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  /** Somebody in a profile of their own. */
  async function sits(account: Account): Promise<Chatter> {
    const chatter = new Chatter(listenTo(await newWindow(browser)), platform.web);
    await chatter.opens(stream.id);
    await chatter.logsIn(account.username, account.password);
    return chatter;
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

  const everybody = () => [mareas, anas, bobs];

  async function goneFor(chatters: Chatter[], text: string): Promise<void> {
    for (const one of chatters) await until(`“${text}” is gone`, async () => !(await one.texts()).includes(text));
  }

  async function says(chatter: Chatter, text: string): Promise<void> {
    await passed(BETWEEN);
    await chatter.says(text);
    for (const one of everybody()) await one.hears(text);
  }

  /** Waits for the composer, in place of which the page may say that its reader is silenced. */
  const mayTalk = (chatter: Chatter) => chatter.page.waitForSelector('#chat-text');

  async function isSilenced(chatter: Chatter, words: string): Promise<void> {
    await chatter.page.waitForSelector('section[aria-label="Chat"] .silenced');
    await chatter.isTold(words);
    expect(await chatter.page.$('#chat-text')).toBeNull();
  }

  test('is offered to the streamer alone, on everybody but themselves', async () => {
    const [greeting, welcome] = [fresh('greeting'), fresh('welcome')];
    await says(anas, greeting);
    await says(mareas, welcome);
    await until('the streamer may act', () => mareas.mayModerate(greeting));
    expect(await mareas.mayModerate(welcome)).toBe(false);
    expect(await bobs.mayModerate(greeting)).toBe(false);
    expect(await bobs.mayModerate(welcome)).toBe(false);
    // Everybody sees who streams.
    await bobs.page.waitForSelector('[role="log"] li:last-child [role="img"][aria-label="Streamer"]');
    nothingWasSaid();
  });

  test('takes away what somebody said who is banned, and their composer, also after a reload', async () => {
    const rude = fresh('rude');
    await says(bobs, rude);
    await mareas.bans(rude);
    await goneFor(everybody(), rude);
    await mareas.isTold('bob was banned.');
    expect(await anas.page.evaluate(() => document.body.textContent?.includes('was banned'))).toBe(false);
    await isSilenced(bobs, 'You are banned from this chat');
    await bobs.page.bringToFront();
    await bobs.page.reload();
    await isSilenced(bobs, 'You are banned from this chat');
    await goneFor(everybody(), rude);
    nothingWasSaid();
  });

  test('lets somebody talk again who is unbanned in the settings', async () => {
    await mareas.opensSettings('bans');
    await mareas.page.locator('[aria-label="Unban bob"]').click();
    await mareas.isTold('bob may talk again.');
    await mareas.page.waitForFunction(() => document.body.textContent?.includes('Nobody is banned.'));
    await mareas.closesSettings();
    await bobs.page.bringToFront();
    await mayTalk(bobs);
    await says(bobs, fresh('back'));
    nothingWasSaid();
  });

  test('times somebody out for a while, and says until when', async () => {
    const loud = fresh('loud');
    await says(bobs, loud);
    await mareas.moderates(loud, 'data-time-out="60"');
    await goneFor(everybody(), loud);
    await mareas.isTold('bob was timed out for 1 minute.');
    await isSilenced(bobs, 'you can talk again at');
    // It ends by itself.
    await bobs.page.bringToFront();
    await bobs.page.waitForSelector('#chat-text', { timeout: 75_000 });
    await says(bobs, fresh('calm'));
    nothingWasSaid();
  }, 150_000);

  test('counts down in slow mode, and says that it is on', async () => {
    await mareas.opensSettings('rules');
    await mareas.page.waitForSelector('#slow-seconds');
    await mareas.page.select('#slow-seconds', String(SLOW));
    await mareas.page.locator('[role="dialog"] form button.primary').click();
    await mareas.page.waitForFunction(() => document.querySelector('[role="dialog"]')?.textContent?.includes('Saved'));
    await mareas.closesSettings();
    for (const one of everybody()) await one.isTold(`Slow mode: ${SLOW} seconds`);
    const [first, second] = [fresh('first'), fresh('second')];
    await passed(BETWEEN);
    await anas.says(first);
    await anas.isTold('You can talk again in 1 s.');
    await until('sending is possible again', () =>
      anas.page.$eval('#chat-reason', (one) => !one.textContent?.includes('You can talk again')));
    await anas.says(second);
    await bobs.hears(second);
    // Not for who keeps order.
    await says(mareas, fresh('quick'));
    await says(mareas, fresh('quicker'));
    await api(platform.web, 'PATCH', `/api/chat/${stream.id}/settings`, {
      token: marea.accessToken,
      body: { slowSeconds: 0 },
    });
    await until('slow mode is off', async () =>
      !(await anas.page.evaluate(() => document.body.textContent?.includes('Slow mode'))));
    nothingWasSaid();
  });

  test('refuses a blocked term in words, and gives the text back', async () => {
    await mareas.opensSettings('terms');
    await mareas.page.locator('#new-term').fill('kraken*');
    await mareas.page.locator('[role="dialog"] form button.primary').click();
    await mareas.page.waitForSelector('[aria-label="Remove “kraken*”"]');
    await mareas.closesSettings();
    await passed(BETWEEN);
    const text = `the krakens are coming ${fresh('n')}`;
    await anas.says(text);
    await anas.isTold('Not sent: this message has words that are blocked here.');
    expect(await anas.draft()).toBe(text);
    expect(await bobs.texts()).not.toContain(text);
    await anas.page.$eval('#chat-text', (field) => {
      (field as HTMLTextAreaElement).value = '';
      field.dispatchEvent(new Event('input', { bubbles: true }));
    });
    nothingWasSaid();
  });

  test('may be done by a moderator whom the streamer has made, who wears a badge', async () => {
    const [hello, wrong] = [fresh('hello'), fresh('wrong')];
    await says(anas, hello);
    await mareas.moderates(hello, 'data-appoint');
    await mareas.isTold('ana is a moderator now.');
    await says(anas, fresh('thank you'));
    await bobs.page.waitForSelector('[role="log"] li:last-child [role="img"][aria-label="Moderator"]');
    await says(bobs, wrong);
    await until('the moderator may act', () => anas.mayModerate(wrong));
    expect(await anas.mayModerate(hello)).toBe(false);
    await anas.deletes(wrong);
    await goneFor(everybody(), wrong);
    await mareas.opensSettings('log');
    for (const words of ['ana deleted a message of bob.', 'marea made ana a moderator.', 'marea blocked “kraken*”.', 'marea banned bob.'])
      await mareas.page.waitForFunction(
        (some) => document.querySelector('[role="dialog"]')?.textContent?.includes(some),
        {},
        words,
      );
    await mareas.closesSettings();
    nothingWasSaid();
  });

  test('works with the keyboard alone', async () => {
    const text = fresh('typed');
    await says(bobs, text);
    const { page } = mareas;
    await page.bringToFront();
    await page.focus('[role="log"]');
    await page.keyboard.press('ArrowUp');
    const focused = (selector: string) =>
      page.waitForFunction((one) => document.activeElement?.matches(one), {}, selector);
    for (const selector of ['[data-reply]', '[data-delete]', '[data-moderate]']) {
      await page.keyboard.press('Tab');
      await focused(selector);
    }
    await page.keyboard.press('Enter');
    await focused('[role="menuitem"]');
    await page.keyboard.press('Escape');
    await focused('[data-moderate]');
    expect(await page.$('[role="menu"]')).toBeNull();
    await page.keyboard.press('Enter');
    await focused('[role="menuitem"]');
    // The first entry deletes the message; the focus stays in the chat.
    await page.keyboard.press('Enter');
    await goneFor(everybody(), text);
    await focused('[role="log"], [role="log"] *');
    nothingWasSaid();
  });
});
