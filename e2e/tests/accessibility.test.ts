import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import axe, { type AxeResults } from 'axe-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { administer } from '../src/administer.ts';
import { api, register, type Stream } from '../src/account.ts';
import { browseAs, newWindow, type Browser, type Page } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { until, type Program } from '../src/process.ts';
import { Streamer } from '../src/streamer.ts';

/** Where pictures of the pages go: `make screenshots`. */
const pictures = process.env.CAUDAL_SCREENSHOTS;
const deviceScaleFactor = pictures ? 1 : 0.5;
const SIZES = {
  desk: { width: 1440, height: 900, deviceScaleFactor },
  phone: { width: 390, height: 844, deviceScaleFactor, isMobile: true, hasTouch: true },
};
const THEMES = ['light', 'dark'] as const;

/** Every page, in both themes and at both sizes, as people see it who cannot see, or not well. */
describe('accessibility', () => {
  let platform: Platform;
  let profile: string;
  let browser: Browser;
  /** Logged in, in the browser's usual window. */
  let ana: Page;
  let stranger: Page;
  let encoder: Program;
  let stream: Stream;

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    const marea = await register(platform.web, 'marea');
    encoder = encode(`${marea.rtmpUrl}/${marea.streamKey}`, { size: '320x180', bitrate: '300k' });
    profile = await mkdtemp(path.join(tmpdir(), 'caudal-profile-'));
    browser = await browseAs(profile);
    ana = await browser.newPage();
    await new Streamer(ana, platform.web).signUp('ana');
    await ana.waitForSelector('#key');
    await administer(platform, 'make-admin', 'ana');
    stranger = await newWindow(browser);
    stream = await until('a live stream', async () => (await api<Stream[]>(platform.web, 'GET', '/api/streams'))[0], 60_000);
  });

  afterAll(async () => {
    await encoder?.stop('SIGKILL');
    await browser?.close();
    await platform?.stop();
    if (profile) await rm(profile, { recursive: true, force: true });
  });

  /** What a page is called here, whether one must be logged in, and what it shows when all of it is there. */
  type Seen = [string, () => string, 'ana' | 'stranger', string];
  const pages: Seen[] = [
    ['home', () => '/', 'stranger', 'article'],
    ['home of somebody logged in', () => '/', 'ana', 'article'],
    ['a stream', () => `/watch/${stream.id}`, 'ana', 'video'],
    ['a stream, for a stranger', () => `/watch/${stream.id}`, 'stranger', 'video'],
    ['a channel', () => '/@marea', 'ana', 'main button[aria-pressed]'],
    ['categories', () => '/categories', 'stranger', 'main li'],
    ['a category', () => '/categories/music', 'stranger', 'main h1'],
    ['a search', () => '/search?q=marea', 'stranger', 'main a[href="/@marea"]'],
    ['logging in', () => '/login', 'stranger', 'form'],
    ['signing up', () => '/register', 'stranger', 'form'],
    ['the studio', () => '/studio', 'ana', '#key'],
    ['settings', () => '/settings', 'ana', 'form'],
    ['notifications', () => '/notifications', 'ana', 'main h1'],
    ['a forgotten password', () => '/forgot-password', 'stranger', 'form'],
    ['a link to a new one', () => '/reset-password#token=x', 'stranger', 'form'],
    ...['', '/people', '/registration', '/categories', '/log', '/jobs'].map(
      (part): Seen => [`the admin's page${part}`, () => `/admin${part}`, 'ana', 'main h1'],
    ),
    ['nothing', () => '/nothing-here', 'stranger', 'main h1'],
  ];

  test.for(pages)('%s has no serious fault', async ([what, at, who, shows]) => {
    const page = who === 'ana' ? ana : stranger;
    await page.bringToFront();
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const theme of THEMES) {
        await page.setViewport(viewport);
        await page.emulateMediaFeatures([
          { name: 'prefers-color-scheme', value: theme },
          // What fades in has its colours at the end only.
          { name: 'prefers-reduced-motion', value: 'reduce' },
        ]);
        await page.goto(platform.web + at());
        await page.waitForSelector(shows);
        expect(await faults(page), `${size}, ${theme}`).toEqual([]);
        if (pictures) await picture(page, `${what}-${size}-${theme}`);
      }
    }
  });

  async function picture(page: Page, name: string) {
    await mkdir(pictures!, { recursive: true });
    const file = `${name.replace(/[^a-z]+/g, '-')}.webp` as const;
    await page.screenshot({ path: path.join(pictures!, file), type: 'webp', quality: 60 });
  }

  async function faults(page: Page): Promise<string[]> {
    await page.evaluate(axe.source);
    const { violations } = (await page.evaluate(`axe.run(document, { resultTypes: ['violations'] })`)) as AxeResults;
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary ?? ''}`));
  }
});
