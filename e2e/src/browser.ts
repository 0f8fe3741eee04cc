import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import puppeteer, { type Browser, type Page } from 'puppeteer-core';

import { until } from './process.ts';

export type { Browser, Page };

/** As it is: what measures how fast pictures are there must not hold them back. */
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ELSEWHERE = path.join(import.meta.dirname, '../bin/chromium-elsewhere');

/** Debian's Chromium without a screen, and without calling home; on a machine of its own, as far as that can be had. */
export async function browse(program = ELSEWHERE): Promise<{ browser: Browser; close: () => Promise<void> }> {
  const profile = await mkdtemp(path.join(tmpdir(), 'caudal-browser-'));
  const browser = await browseAs(profile, [], program);
  return {
    browser,
    close: async () => {
      await browser.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** The browser of somebody who was here before: whoever gives the folder keeps it. */
export function browseAs(profile: string, flags: string[] = [], program = ELSEWHERE): Promise<Browser> {
  return puppeteer.launch({
    executablePath: program,
    userDataDir: profile,
    args: [
      // Tests look for English words, whatever the machine speaks; flags that are given come later, and win.
      '--accept-lang=en-US,en', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
      ...flags,
    ],
  });
}

/** A window of somebody with a session and connections of their own. */
export async function newWindow(browser: Browser): Promise<Page> {
  const page = await (await browser.createBrowserContext()).newPage();
  // Painted small, because the browser paints on the processors that encoders need.
  await page.setViewport({ width: 1440, height: 900, deviceScaleFactor: 0.5 });
  return page;
}

/** Fails if the page is blank, without its styles, or another one than the one with this heading. */
export async function shows(page: Page, heading: string, how: string): Promise<void> {
  await until(`${page.url()} shows “${heading}” after ${how}`, () =>
    page.evaluate((wanted) => {
      const styled = getComputedStyle(document.body).marginTop === '0px';
      return styled && document.querySelector('main h1')?.textContent?.trim() === wanted;
    }, heading), 15_000);
}

/** How far the page's video has come, in seconds; undefined while there is none. */
export function playhead(page: Page): Promise<{ time: number; width: number; height: number } | undefined> {
  return page.evaluate(() => {
    const video = document.querySelector('video');
    if (!video || video.readyState < 2) return undefined;
    return { time: video.currentTime, width: video.videoWidth, height: video.videoHeight };
  });
}
