import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { administer } from '../src/administer.ts';
import { browseAs, newWindow, shows, type Browser, type Page } from '../src/browser.ts';
import { Platform } from '../src/platform.ts';
import { until } from '../src/process.ts';
import { Streamer } from '../src/streamer.ts';

/** Ruth runs the platform, and somebody comes who should not have: each test goes on where the one before it ended. */
describe('administration', () => {
  let platform: Platform;
  let profile: string;
  let browser: Browser;
  let ruth: Page;
  /** Who is invited, in a browser window of their own. */
  let guest: Page;
  let invitation: URL;

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    browser = await browseAs(profile);
    ruth = await browser.newPage();
    await new Streamer(ruth, platform.web).signUp('ruth');
    guest = await newWindow(browser);
  });

  afterAll(async () => {
    await browser?.close();
    await platform?.stop();
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  async function go(page: Page, to: string): Promise<void> {
    await page.bringToFront();
    await page.goto(platform.web + to);
  }

  /** Goes there anew, though only what is behind the `#` may be another. */
  async function open(page: Page, to: string): Promise<void> {
    await page.goto('about:blank');
    await go(page, to);
  }

  async function fill(page: Page, selector: string, text: string): Promise<void> {
    await page.waitForSelector(selector, { visible: true });
    await page.$eval(selector, (field) => ((field as HTMLInputElement).value = ''));
    await page.type(selector, text);
  }

  async function press(page: Page, words: string, within = '//main'): Promise<void> {
    const button = await page.waitForSelector(`::-p-xpath(${within}//button[normalize-space()="${words}"])`);
    // Without the mouse, which a page that moves leads astray.
    await button?.evaluate((one) => (one as HTMLElement).click());
  }

  const says = (page: Page, words: string) =>
    page.waitForFunction((some) => document.querySelector('main')?.textContent?.includes(some), {}, words);
  const leadsTo = (page: Page, to: string) => until(`the page ${to}`, () => new URL(page.url()).pathname === to);

  async function lets(mode: 'open' | 'invitation' | 'closed'): Promise<void> {
    await go(ruth, '/admin/registration');
    const choice = await ruth.waitForSelector(`input[name="mode"][value="${mode}"]`);
    await choice?.evaluate((one) => (one as HTMLElement).click());
    await press(ruth, 'Save');
    await says(ruth, 'Saved');
  }

  const PERSON = '//article[@data-username="guest"]';
  /** What took the place of the button that was pressed has the focus. */
  const focusIsOn = (page: Page, words: string) =>
    until(`the focus is on “${words}”`, async () => words === (await page.evaluate(() => document.activeElement?.textContent?.trim())));

  test('is for admins, who find it in their settings', async () => {
    await go(ruth, '/admin');
    await shows(ruth, 'There is nothing here', 'opening');
    await administer(platform, 'make-admin', 'ruth');
    await go(ruth, '/settings');
    await ruth.waitForSelector('main a[href="/admin"]');
    await ruth.$eval('main a[href="/admin"]', (link) => (link as HTMLElement).click());
    await shows(ruth, 'Administration', 'a link');
    await leadsTo(ruth, '/admin');
    await says(ruth, 'Watching now');
    // Nothing plays and nothing is sold: that is unknown, and not nothing.
    await says(ruth, 'no data yet');
    // The platform has looked at its own door by now, or does so within a quarter of a minute.
    await says(ruth, '100%');
  });

  test('closes registration, which the sign-up page says', async () => {
    await lets('closed');
    await open(guest, '/register');
    await says(guest, 'Nobody can open an account here just now.');
    expect(await guest.$eval('form.panel', (form) => (form as HTMLElement).hidden)).toBe(true);
  });

  test('lets those in who were invited, by a link that is shown once', async () => {
    await lets('invitation');
    await open(guest, '/register');
    await says(guest, 'Opening an account here takes an invitation.');
    await ruth.bringToFront();
    await fill(ruth, '#note', 'A guest');
    await press(ruth, 'Make an invitation');
    const field = await ruth.waitForSelector('#invitation-link');
    invitation = new URL((await field?.evaluate((input) => (input as HTMLInputElement).value)) ?? '');
    expect(invitation.pathname).toBe('/register');
    await says(ruth, 'A guest');
    await says(ruth, '0 of 1 used');
    await open(guest, '/register#invitation=inv_of_nobody');
    await says(guest, 'You are invited');
    // The token is not to stand in the history.
    expect(new URL(guest.url()).hash).toBe('');
    await fill(guest, '#username', 'guest');
    await fill(guest, '#email', 'guest@example.org');
    await fill(guest, '#password', 'correct horse battery');
    await press(guest, 'Sign up');
    await says(guest, 'This takes an invitation that is still good.');
    await open(guest, invitation.pathname + invitation.hash);
    await says(guest, 'You are invited');
    await fill(guest, '#username', 'guest');
    await fill(guest, '#email', 'guest@example.org');
    await fill(guest, '#password', 'correct horse battery');
    await press(guest, 'Sign up');
    await leadsTo(guest, '/studio');
    await ruth.bringToFront();
    await ruth.reload();
    await says(ruth, '1 of 1 used');
    expect(await ruth.$('#invitation-link')).toBeNull();
  });

  test('bans somebody, whose page notices', async () => {
    await go(guest, '/settings');
    await guest.waitForSelector('#display-name');
    // A page of their own in the background: only who is seen is told.
    await go(ruth, '/admin/people');
    await fill(ruth, '#find', 'gue');
    await press(ruth, 'Find');
    await press(ruth, 'Ban…', PERSON);
    await fill(ruth, 'article textarea', 'Not who they said');
    await press(ruth, 'Yes, ban', PERSON);
    await focusIsOn(ruth, 'End ban');
    await says(ruth, 'Not who they said');
    await guest.bringToFront();
    await leadsTo(guest, '/login');
    await fill(guest, '#login', 'guest');
    await fill(guest, '#password', 'correct horse battery');
    await press(guest, 'Log in');
    await says(guest, 'This account is banned.');
    await ruth.bringToFront();
    await press(ruth, 'End ban', PERSON);
    await ruth.waitForSelector(`::-p-xpath(${PERSON}//button[normalize-space()="Ban…"])`);
    await focusIsOn(ruth, 'Ban…');
    await guest.bringToFront();
    await press(guest, 'Log in');
    await leadsTo(guest, '/settings');
  });

  test('keeps the categories', async () => {
    await go(ruth, '/admin/categories');
    await fill(ruth, '#name', 'Harbour songs');
    await press(ruth, 'Add');
    await ruth.waitForSelector('article[data-slug="harbour-songs"]');
    const ours = '//article[@data-slug="harbour-songs"]';
    await press(ruth, 'Change', ours);
    await fill(ruth, 'article[data-slug="harbour-songs"] input[id^="slug-"]', 'shanties');
    await press(ruth, 'Save', ours);
    await ruth.waitForSelector('article[data-slug="shanties"]');
    await go(guest, '/categories/shanties');
    await shows(guest, 'Harbour songs', 'opening');
    await ruth.bringToFront();
    await press(ruth, 'Remove…', '//article[@data-slug="shanties"]');
    await press(ruth, 'Yes, remove', '//article[@data-slug="shanties"]');
    await ruth.waitForFunction(() => document.querySelector('article[data-slug="shanties"]') === null);
  });

  test('finds all of that in the log, and no job that failed', async () => {
    await go(ruth, '/admin/log');
    for (const words of [
      'Somebody at the command line made ruth an admin',
      'ruth closed registration',
      'ruth made an invitation for one person: A guest',
      'ruth banned guest: Not who they said',
      'ruth ended the ban of guest',
      'ruth removed the category shanties',
    ]) {
      await says(ruth, words);
    }
    await go(ruth, '/admin/jobs');
    await says(ruth, 'Nothing has failed');
  });
});
