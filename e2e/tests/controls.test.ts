import { setTimeout as passed } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { api, register, type Account, type Stream } from '../src/account.ts';
import { answerFor, answering, refusal, type Answer } from '../src/answers.ts';
import { browse, type Page } from '../src/browser.ts';
import { encode } from '../src/encoder.ts';
import { Platform } from '../src/platform.ts';
import { until, type Program } from '../src/process.ts';

let platform: Platform;
let browser: Awaited<ReturnType<typeof browse>>;
let account: Account;
let encoder: Program;
let stream: Stream;
let page: Page;
let leave: () => Promise<void>;

beforeAll(async () => {
  platform = await Platform.start({ CAUDAL_LADDER: 'none' });
  browser = await browse();
  account = await register(platform.web, 'ria');
  encoder = encode(`${account.rtmpUrl}/${account.streamKey}`, { size: '320x180', bitrate: '300k' });
  stream = await until('a live stream', async () => (await api<Stream[]>(platform.web, 'GET', '/api/streams'))[0], 60_000);
});

afterAll(async () => {
  await encoder?.stop('SIGKILL');
  await browser?.close();
  await platform?.stop();
});

beforeEach(async () => {
  const person = await browser.browser.createBrowserContext();
  page = await person.newPage();
  leave = () => person.close();
});

afterEach(() => leave());

const status = (wanted: string) => page.waitForFunction((one) => window.__caudal?.status === one, {}, wanted);
const says = (words: string) => page.waitForFunction((some) => document.body.textContent?.includes(some), {}, words);
/** What has the focus: its id, or else its words. */
const focused = () =>
  page.evaluate(() => document.activeElement?.id || (document.activeElement as HTMLElement | null)?.innerText.trim());
const focusIsOn = (wanted: string) => until(`the focus is on “${wanted}”`, async () => (await focused()) === wanted);
/** By the keyboard: with a mouse nobody misses the focus. */
async function press(selector: string): Promise<void> {
  await page.waitForSelector(selector);
  await page.focus(selector);
  await page.keyboard.press('Enter');
}
/** What a browser says when somebody comes back to the tab. */
const lookAgain = () => page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));

describe('the player', () => {
  /** Full screen as the page asks for it; a browser without a screen has none to give. */
  const countFullScreens = () =>
    page.evaluateOnNewDocument(() => {
      Object.assign(window, { fullScreens: 0 });
      Element.prototype.requestFullscreen = async () => {
        (window as unknown as { fullScreens: number }).fullScreens += 1;
      };
    });
  const fullScreens = () => page.evaluate(() => (window as unknown as { fullScreens: number }).fullScreens);
  const video = () =>
    page.$eval('video', ({ paused, currentTime, buffered }) => ({
      paused,
      time: currentTime,
      back: buffered.length > 0 ? currentTime - buffered.start(0) : 0,
    }));

  async function watch(): Promise<void> {
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await status('playing');
  }

  test('takes its Play button away however the picture begins to move', async () => {
    await page.evaluateOnNewDocument(() => {
      const play = HTMLMediaElement.prototype.play;
      HTMLMediaElement.prototype.play = function () {
        const allowed = (window as { allowed?: boolean }).allowed === true;
        return allowed ? play.call(this) : Promise.reject(new DOMException('The test says so.', 'NotAllowedError'));
      };
    });
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await page.waitForSelector('.start');
    await page.evaluate(async () => {
      Object.assign(window, { allowed: true });
      await document.querySelector('video')?.play();
    });
    await status('playing');
    expect(await page.$('.start')).toBeNull();
  });

  test('fills the screen at a double-click, and goes on playing as far behind as before', async () => {
    await countFullScreens();
    await watch();
    await until('there is something to go back to', async () => (await video()).back > 6, 30_000);
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction(() => window.__caudal?.following === false);
    await page.click('video', { count: 2, delay: 30 });
    expect(await fullScreens()).toBe(1);
    await status('playing');
    expect(await page.evaluate(() => window.__caudal?.following)).toBe(false);
  });

  test('fills the screen at a double-click, and stays at the picture at which it was paused', async () => {
    await countFullScreens();
    await watch();
    await page.keyboard.press('k');
    await status('paused');
    const { time } = await video();
    await passed(3_000);
    await page.click('video', { count: 2, delay: 30 });
    expect(await fullScreens()).toBe(1);
    await status('paused');
    expect(Math.abs((await video()).time - time)).toBeLessThan(0.1);
  });

  test('pauses and goes on at a click each', async () => {
    await watch();
    await page.click('video');
    await status('paused');
    // Two clicks within half a second are a double-click.
    await passed(1_000);
    await page.click('video');
    await status('playing');
  });

  test('goes on at now by itself after the browser had frozen the tab, unless it was paused', async () => {
    const paused = () => page.$eval('video', (video) => video.paused);
    const devtools = await page.createCDPSession();
    const sleep = async () => {
      await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
      await passed(5_000);
      await devtools.send('Page.setWebLifecycleState', { state: 'active' });
      // To the front again, where the tab has been hidden since.
      const other = await page.browserContext().newPage();
      await other.bringToFront();
      await page.bringToFront();
      await other.close();
    };
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await status('playing');
    await sleep();
    await status('playing');
    await page.waitForFunction(() => (window.__caudal?.latencyMs() ?? Infinity) < 4_000);
    await page.click('video');
    await status('paused');
    await sleep();
    await says('Go to live');
    expect(await paused()).toBe(true);
  });

  test('complains of nothing when the page is left in the middle of the chat', async () => {
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await page.waitForSelector('.lines');
    await page.evaluate(() => {
      const lines = document.querySelector('.lines') as HTMLElement;
      lines.style.height = '1px';
      lines.scrollTop = 1;
      (document.querySelector('a[href="/categories"]') as HTMLElement).click();
      lines.dispatchEvent(new Event('scroll'));
    });
    await page.waitForFunction(() => location.pathname === '/categories' && !document.querySelector('.lines'));
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    expect(complaints).toEqual([]);
  });

  test('does not take an open menu away', async () => {
    await watch();
    await page.hover('video');
    await page.click('.opener');
    await page.waitForSelector('[role="menu"]');
    await passed(5_000);
    expect(await page.$('.controls.shown [role="menu"]')).not.toBeNull();
  });

  test('gives the focus to the button that does the same when the large one is gone', async () => {
    await page.evaluateOnNewDocument(() => {
      const play = HTMLMediaElement.prototype.play;
      let refusals = 2;
      HTMLMediaElement.prototype.play = function () {
        return refusals-- > 0 ? Promise.reject(new DOMException('The test says so.', 'NotAllowedError')) : play.call(this);
      };
    });
    await page.goto(`${platform.web}/watch/${stream.id}`);
    await press('.start');
    await status('playing');
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Pause');
  });
});

test('a stream that was not to be found for a moment is shown when it is there again', async () => {
  const answers = await answering(page, `/api/streams/${stream.id}`, 404, 'not_found');
  await page.goto(`${platform.web}/watch/${stream.id}`);
  await says('There is nothing here');
  answers.stop();
  await lookAgain();
  await status('playing');
});

describe('the studio', () => {
  /** What the api says in this test, by path. */
  let answers: Map<string, Answer>;

  beforeEach(async () => {
    answers = new Map();
    await answerFor(page, (path) => answers.get(path));
    await page.goto(`${platform.web}/login?next=/studio`);
    await page.type('#login', account.username);
    await page.type('#password', account.password);
  });

  const enter = async () => {
    await page.click('form button.primary');
    await page.waitForSelector('#title');
  };
  const open = (...streams: Partial<Stream>[]) =>
    answers.set('/api/streams/open', { status: 200, body: streams.map((one) => ({ ...stream, ...one })) });
  const titleIs = () => page.$eval('#title', (field) => (field as HTMLInputElement).value);

  test('leaves a title alone that is being typed when the encoder opens a stream', async () => {
    open();
    await enter();
    await page.type('#title', 'What I am about to');
    open({ title: 'Untitled' });
    await says('You are live');
    expect(await titleIs()).toBe('What I am about to');
  });

  test('keeps the focus where the buttons for ending a stream were', async () => {
    await enter();
    await press('.actions .end');
    await focusIsOn('Stay live');
    await page.keyboard.press('Enter');
    await focusIsOn('End stream');
  });

  test('asks again before it ends the next stream', async () => {
    answers.set('/api/streams/one/health', refusal(404, 'not_found'));
    answers.set('/api/streams/two/health', refusal(404, 'not_found'));
    open({ id: 'one', title: 'The first' });
    await enter();
    await press('.actions .end');
    await page.waitForSelector('.actions .stay');
    open({ id: 'two', title: 'The second' });
    await until('the next stream is there', async () => (await titleIs()) === 'The second', 30_000);
    expect(await page.$('.actions .stay')).toBeNull();
    expect(await page.$('.actions .end')).not.toBeNull();
  });

  test('keeps the focus where the form for a new key was', async () => {
    await enter();
    await press('.connection .link');
    await focusIsOn('rotate-password');
    await press('.connection form button[type="button"]');
    await focusIsOn('Make a new key');
  });

  test('shows the key that was made in another tab once somebody looks at it again', async () => {
    const key = (streamKey: string): Answer => ({
      status: 200,
      body: { streamKey, rtmpUrl: account.rtmpUrl, rotatedAt: null },
    });
    answers.set('/api/auth/stream-key', key('live_old'));
    await enter();
    await page.waitForSelector('#key');
    await page.click('button[aria-label="Show the stream key"]');
    const shown = () => page.$eval('#key', (field) => (field as HTMLInputElement).value);
    expect(await shown()).toBe('live_old');
    answers.set('/api/auth/stream-key', key('live_new'));
    await lookAgain();
    await until('the new key is shown', async () => (await shown()) === 'live_new', 20_000);
  });

  test('does not fetch somebody back whose log-out took its time', async () => {
    await enter();
    answers.set('/api/auth/logout', refusal(503, 'unavailable'));
    await page.click('header button.plain');
    await says('You are not logged out yet');
    await page.click('header a.brand');
    await page.waitForSelector('article a');
    await page.click('article a');
    await status('playing');
    answers.delete('/api/auth/logout');
    await page.waitForSelector('header a[href="/login"]', { timeout: 60_000 });
    await passed(500);
    expect(new URL(page.url()).pathname).toBe(`/watch/${stream.id}`);
  });
});
