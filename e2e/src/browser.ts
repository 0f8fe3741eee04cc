import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import puppeteer, { type Browser, type Page } from 'puppeteer-core';

export type { Browser, Page };

/** Debian's Chromium without a screen, and without calling home. */
export async function browse(): Promise<{ browser: Browser; close: () => Promise<void> }> {
  const profile = await mkdtemp(path.join(tmpdir(), 'caudal-browser-'));
  const browser = await browseAs(profile);
  return {
    browser,
    close: async () => {
      await browser.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** The browser of somebody who was here before: whoever gives the folder keeps it. */
export function browseAs(profile: string, flags: string[] = []): Promise<Browser> {
  return puppeteer.launch({
    executablePath: path.join(import.meta.dirname, '../bin/chromium-elsewhere'),
    userDataDir: profile,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
      ...flags,
    ],
  });
}

/** How far the page's video has come, in seconds; undefined while there is none. */
export function playhead(page: Page): Promise<{ time: number; width: number; height: number } | undefined> {
  return page.evaluate(() => {
    const video = document.querySelector('video');
    if (!video || video.readyState < 2) return undefined;
    return { time: video.currentTime, width: video.videoWidth, height: video.videoHeight };
  });
}
