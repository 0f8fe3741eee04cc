import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, register, type Account, type Stream } from '../src/account.ts';
import { browseAs, newWindow, shows, type Browser, type Page } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { until, type Program } from '../src/process.ts';

/** The pages in the visitor's language: each visitor is a window of its own, which remembers nothing of the others. */
describe('the language of the pages', () => {
  let platform: Platform;
  const profiles: string[] = [];
  let spanish: Browser;
  let english: Browser;
  let account: Account;
  let encoder: Program;
  let stream: Stream;
  /** What browsers said on their consoles since the last look. */
  let complaints: string[] = [];

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    spanish = await browserOf(['--accept-lang=es-MX,es,en']);
    english = await browserOf([]);
    account = await register(platform.web, 'marea');
    encoder = encode(`${account.rtmpUrl}/${account.streamKey}`, { size: '320x180', bitrate: '300k' });
    stream = await until('a live stream', async () => (await api<Stream[]>(platform.web, 'GET', '/api/streams'))[0], 60_000);
  });

  afterAll(async () => {
    await encoder?.stop('SIGKILL');
    await spanish?.close();
    await english?.close();
    await platform?.stop();
    for (const profile of profiles) await rm(profile, { recursive: true, force: true });
  });

  async function browserOf(flags: string[]): Promise<Browser> {
    const profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    profiles.push(profile);
    return browseAs(profile, flags);
  }

  async function visitor(browser: Browser): Promise<Page> {
    const page = await newWindow(browser);
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

  const languageOf = (page: Page) => page.evaluate(() => document.documentElement.lang);
  const says = (page: Page, words: string) =>
    page.waitForFunction((some) => document.body.textContent?.includes(some), {}, words);

  /** What the page was seen to say in headings, from before its first script on. */
  function headingsOf(page: Page): Promise<unknown> {
    return page.evaluateOnNewDocument(() => {
      const seen: string[] = [];
      Object.assign(window, { headingsSeen: seen });
      new MutationObserver(() => {
        const heading = document.querySelector('main h1')?.textContent?.trim();
        if (heading && !seen.includes(heading)) seen.push(heading);
      }).observe(document, { childList: true, subtree: true, characterData: true });
    });
  }

  const headingsSeen = (page: Page) =>
    page.evaluate(() => (window as unknown as { headingsSeen: string[] }).headingsSeen);

  test('is Spanish for a Spanish browser: at home, beside a stream, and where they log in', async () => {
    const page = await visitor(spanish);
    await headingsOf(page);
    await page.goto(platform.web);
    await shows(page, 'En directo ahora', 'the first visit');
    // It never stood there in another language.
    expect(await headingsSeen(page)).toEqual(['En directo ahora']);
    expect(await languageOf(page)).toBe('es');
    expect(await page.title()).toBe('Caudal · En directo ahora');
    await page.waitForSelector(`a[href="/watch/${stream.id}"]`);

    await page.goto(`${platform.web}/watch/${stream.id}`);
    await page.waitForSelector('button[aria-label="Pausar"]');
    await says(page, 'Inicia sesión para participar');
    await says(page, '0 seguidores');

    await page.goto(`${platform.web}/login`);
    await shows(page, 'Te damos la bienvenida de nuevo', 'a visit');
    nothingWasSaid();
    await page.type('#login', 'marea');
    await page.type('#password', 'not her password');
    await page.click('form button.primary');
    await says(page, 'Ese nombre y esa contraseña no coinciden.');
    // The browser itself says that it was refused.
    complaints = [];
    await page.close();
  });

  test('says in Spanish what the api refuses in English', async () => {
    const page = await visitor(spanish);
    await page.goto(`${platform.web}/register`);
    await page.type('#username', 'marea');
    await page.type('#email', 'another@example.org');
    await page.type('#password', 'correct horse battery');
    await page.click('form button.primary');
    await says(page, 'Este nombre ya está en uso.');
    complaints = [];
    await page.close();
  });

  test('is English for everybody else, and changes by hand without a reload', async () => {
    const page = await visitor(english);
    await page.goto(platform.web);
    await shows(page, 'Live now', 'the first visit');
    expect(await languageOf(page)).toBe('en');
    await page.evaluate(() => Object.assign(window, { stillHere: true }));

    await page.select('footer select', 'es');
    await shows(page, 'En directo ahora', 'choosing Spanish');
    expect(await languageOf(page)).toBe('es');
    expect(await page.evaluate(() => 'stillHere' in window)).toBe(true);

    await page.reload();
    await shows(page, 'En directo ahora', 'a reload');
    await page.goto(`${platform.web}/register`);
    await shows(page, 'Crear cuenta', 'going elsewhere');

    await page.select('footer select', 'en');
    await shows(page, 'Sign up', 'choosing English again');
    await page.reload();
    await shows(page, 'Sign up', 'another reload');
    nothingWasSaid();
    await page.close();
  });

  test('is English where the Spanish texts cannot be fetched', async () => {
    const page = await visitor(spanish);
    await page.setRequestInterception(true);
    page.on('request', (request) => void (/\/es-[^/]*\.js$/.test(request.url()) ? request.abort() : request.continue()));
    await page.goto(platform.web);
    await shows(page, 'Live now', 'a visit without its texts');
    expect(await languageOf(page)).toBe('en');
    complaints = [];
    await page.close();
  });
});
