import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { administer } from '../src/administer.ts';
import { browseAs, newWindow, shows, type Browser, type Page } from '../src/browser.ts';
import { Platform } from '../src/platform.ts';
import { until } from '../src/process.ts';
import { Streamer } from '../src/streamer.ts';

/** One person with two browsers, who comes and goes: each test goes on where the one before it ended. */
describe('accounts', () => {
  let platform: Platform;
  let profile: string;
  let browser: Browser;
  /** On the desk, and a telephone that is lost later. */
  let desk: Page;
  let phone: Page;
  let password = 'correct horse battery';

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    browser = await browseAs(profile);
    desk = await browser.newPage();
    await new Streamer(desk, platform.web).signUp('ana');
    phone = await newWindow(browser);
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

  async function fill(page: Page, selector: string, text: string): Promise<void> {
    await page.waitForSelector(selector);
    await page.$eval(selector, (field) => ((field as HTMLInputElement).value = ''));
    await page.type(selector, text);
  }

  async function press(page: Page, words: string): Promise<void> {
    const button = await page.waitForSelector(`::-p-xpath(//main//button[normalize-space()="${words}"])`);
    // Without the mouse, which a page that moves leads astray.
    await button?.evaluate((one) => (one as HTMLElement).click());
  }

  const says = (page: Page, words: string) =>
    page.waitForFunction((some) => document.querySelector('main')?.textContent?.includes(some), {}, words);

  async function logIn(page: Page, word = password): Promise<void> {
    await go(page, '/login');
    await fill(page, '#login', 'ana');
    await fill(page, '#password', word);
    await page.click('form button.primary');
  }

  const loggedIn = (page: Page) => until('the home page', () => new URL(page.url()).pathname === '/');

  test('list where one is logged in, and end it there', async () => {
    await logIn(phone);
    await loggedIn(phone);
    await go(desk, '/settings');
    await says(desk, 'this device');
    await says(desk, 'last used');
    await press(desk, 'Log out everywhere else');
    await desk.waitForFunction(() => !document.querySelector('main')?.textContent?.includes('last used'));
    await go(phone, '/settings');
    await until('the log-in page', () => new URL(phone.url()).pathname === '/login');
  });

  test('change a password, which logs the other devices out', async () => {
    await logIn(phone);
    await loggedIn(phone);
    await go(desk, '/settings');
    await fill(desk, '#current-password', 'not mine at all');
    await fill(desk, '#new-password', 'short');
    await press(desk, 'Change password');
    await says(desk, 'Use at least 8 characters.');
    await fill(desk, '#new-password', 'a longer sentence');
    await press(desk, 'Change password');
    await desk.waitForSelector('section[aria-labelledby="password"] [role="alert"]:not([hidden])');
    await fill(desk, '#current-password', password);
    await press(desk, 'Change password');
    await says(desk, 'All your other devices are logged out.');
    password = 'a longer sentence';
    await go(phone, '/settings');
    await until('the log-in page', () => new URL(phone.url()).pathname === '/login');
  });

  test('get back in by a link of the operator, once', async () => {
    await go(phone, '/login');
    await phone.waitForSelector('a[href="/forgot-password"]');
    await phone.click('a[href="/forgot-password"]');
    await shows(phone, 'Forgot your password?', 'a click');
    await fill(phone, '#email', 'ana@example.org');
    await press(phone, 'Send me a link');
    await says(phone, 'ana@example.org');
    const [link = ''] = /http\S+/.exec(await administer(platform, 'reset-password', 'ana')) ?? [];
    const { pathname, hash } = new URL(link);
    expect(pathname).toBe('/reset-password');
    await go(phone, pathname + hash);
    await shows(phone, 'Choose a new password', 'a link');
    expect(new URL(phone.url()).hash).toBe('');
    password = 'another sentence of mine';
    await fill(phone, '#new-password', password);
    await press(phone, 'Set password');
    await says(phone, 'every device is logged out');
    await logIn(phone);
    await loggedIn(phone);
    await go(desk, '/settings');
    await until('the log-in page', () => new URL(desk.url()).pathname === '/login');
    await go(desk, pathname + hash);
    await fill(desk, '#new-password', 'what a thief would like');
    await press(desk, 'Set password');
    await says(desk, 'no longer good');
  });

  test('leave for good, and nobody takes the name', async () => {
    await go(phone, '/settings');
    await press(phone, 'Delete my account…');
    await fill(phone, '#delete-password', password);
    await press(phone, 'Delete ana for good');
    await loggedIn(phone);
    await phone.waitForSelector('header a[href="/login"]');
    await go(phone, '/@ana');
    await shows(phone, 'There is nothing here', 'a farewell');
    await logIn(desk);
    await desk.waitForSelector('form [role="alert"]:not([hidden])');
    await go(phone, '/register');
    await fill(phone, '#username', 'ana');
    await fill(phone, '#email', 'other@example.org');
    await fill(phone, '#password', password);
    await phone.click('form button.primary');
    await phone.waitForSelector('#username[aria-invalid]');
  });
});
