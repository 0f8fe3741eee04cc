/**
 * Takes pictures of every page at a desk's and at a phone's size, and measures the player for a while:
 * `npm run build && npm run preview:fake -- --port 4471`, then `node dev/look.js http://127.0.0.1:4471 <folder>`; after the
 * folder may come a part of a picture's name, to take only those, and the browser's language (`es`).
 */
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

const [base = 'http://127.0.0.1:4471', folder = join(tmpdir(), 'caudal-look'), only = '', language = 'en'] =
  process.argv.slice(2);
const CLIP = '01926f00-0000-7000-8000-000000000001';
const SIZES = [
  { name: 'desk', width: 1440, height: 900, mobile: false },
  { name: 'phone', width: 390, height: 844, mobile: true },
];

const PEOPLE = [
  ['channel', '/@marea'],
  ['channel-new', '/@newcomer'],
  ['categories', '/categories'],
  ['category', '/categories/science'],
  ['category-empty', '/categories/chess'],
  ['search', '/search?q=ma'],
  ['search-none', '/search?q=nothing+like+it'],
  ['search-start', '/search'],
];

const ADMIN = [
  ['admin-figures', '/admin'],
  ['admin-people', '/admin/people'],
  ['admin-registration', '/admin/registration'],
  ['admin-categories', '/admin/categories'],
  ['admin-log', '/admin/log'],
  ['admin-jobs', '/admin/jobs'],
];

await mkdir(folder, { recursive: true });
const profile = await mkdtemp(join(tmpdir(), 'caudal-look-profile-'));
const browser = await puppeteer.launch({
  executablePath: '/usr/bin/chromium',
  userDataDir: profile,
  args: [
    `--accept-lang=${language}`,
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--autoplay-policy=document-user-activation-required',
  ],
});
try {
  for (const scheme of ['dark', 'light']) {
    for (const { name, width, height, mobile } of SIZES) {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      await page.setViewport({ width, height, isMobile: mobile, hasTouch: mobile, deviceScaleFactor: 1 });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      page.on('console', (message) => console.log(`[${message.type()}]`, message.text()));
      page.on('pageerror', (error) => console.log('[page error]', String(error)));
      await pictures(page, async (what) => {
        if (only !== '' && !what.includes(only)) return;
        await page.screenshot({
          path: join(folder, `${what}-${name}-${scheme}.png`),
          fullPage: what !== 'watch',
        });
      });
      await context.close();
    }
  }
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}

async function pictures(page, take) {
  await control({ away: false });
  await fetch(`${base}/fake/crowd`, { method: 'POST' });
  await open(page, '/');
  await take('home');
  await fetch(`${base}/fake/empty`, { method: 'POST' });
  await open(page, '/');
  await take('empty');
  await fetch(`${base}/fake/crowd`, { method: 'POST' });
  await open(page, '/nowhere');
  await take('missing');
  await open(page, '/watch/waiting');
  await take('waiting');
  await open(page, `/watch/${CLIP}`);
  await pause(5000);
  await take('watch');
  await page.keyboard.press('m');
  await page.click('.opener').catch(() => undefined);
  await pause(300);
  await take('watch-menu');
  await control({ away: true });
  await pause(6000);
  await take('watch-away');
  await control({ away: false });
  for (const [what, path] of PEOPLE) {
    await open(page, path);
    await take(what);
  }
  await open(page, '/register');
  await page.type('#username', 'marea');
  await page.type('#email', 'marea');
  await page.click('form .button');
  await pause(200);
  await take('register');
  await open(page, '/login?next=/studio');
  await page.type('#login', 'marea');
  await page.type('#password', 'correct horse');
  await page.click('form .button');
  await pause(3000);
  await take('studio-live');
  await page.type('#categories', 'a');
  await pause(600);
  await take('studio-categories');
  await open(page, '/@kilohertz');
  // Whom somebody followed in another picture they follow still.
  await page.click('main button.primary').catch(() => undefined);
  await pause(300);
  await take('channel-followed');
  await page.evaluate(() => document.querySelector('main .actions button.start')?.click());
  await pause(300);
  await take('channel-block');
  await open(page, '/');
  await take('home-following');
  await open(page, '/settings');
  await take('settings');
  for (const [what, path] of ADMIN) {
    await open(page, path);
    await take(what);
  }
  await open(page, `/watch/${CLIP}`);
  await page.waitForSelector('#chat-text');
  await page.type('#chat-text', 'Thank you all for coming, and @Tomás for the music.');
  await page.keyboard.press('Enter');
  await page.type('#chat-text', 'and');
  await page.keyboard.press('Enter');
  await pause(500);
  await take('watch-talk');
  await page.evaluate(() => [...document.querySelectorAll('[data-moderate]')].pop()?.click());
  await pause(300);
  await take('watch-moderate');
  await page.keyboard.press('Escape');
  await page.evaluate(() => document.querySelector('button[aria-haspopup="dialog"]')?.click());
  await page.waitForSelector('#tab-log');
  await pause(500);
  await take('chat-settings');
  for (const tab of ['terms', 'bans', 'moderators', 'log']) {
    await page.click(`#tab-${tab}`);
    await pause(500);
    await take(`chat-settings-${tab}`);
  }
  await page.keyboard.press('Escape');
  const name = `guest${Math.floor(Math.random() * 1e9)}`;
  await page.evaluate(() => document.querySelector('header button.plain')?.click());
  await pause(500);
  await open(page, '/register?next=/studio');
  await page.type('#username', name);
  await page.type('#email', `${name}@example.org`);
  await page.type('#password', 'correct horse');
  await page.click('form .button');
  await pause(1500);
  await take('studio-off');
}

async function open(page, path) {
  await page.goto(base + path, { waitUntil: 'load' });
  await pause(800);
}

async function control(change) {
  await fetch(`${base}/fake/control`, { method: 'POST', body: JSON.stringify(change) });
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
