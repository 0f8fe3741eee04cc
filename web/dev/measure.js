/**
 * Watches the fake's live stream for a while and says how the player did: the latency by the stream's clock (the
 * fake dates each picture with the moment at which it would have been taken), its play rate, its stalls.
 *
 * `node dev/measure.js http://127.0.0.1:4471 45 '{"jitter":300}' '[[10, {"away": true}], [20, {"away": false}]]'`: address,
 * seconds, network, and what happens when; `{"offline": true}` takes the viewer's network away. The fake is neither an encoder nor an edge, so
 * this compares settings of the player; it is no benchmark of Caudal.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

const [base = 'http://127.0.0.1:4471', length = '45', weather = '{}', script = '[]'] = process.argv.slice(2);
const control = (change) => fetch(`${base}/fake/control`, { method: 'POST', body: JSON.stringify(change) });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

await control({ away: false, delay: 40, jitter: 0, roundTrip: 0, ...JSON.parse(weather) });
const profile = await mkdtemp(join(tmpdir(), 'caudal-measure-'));
const browser = await puppeteer.launch({
  executablePath: '/usr/bin/chromium',
  userDataDir: profile,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--autoplay-policy=no-user-gesture-required',
  ],
});
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 800 });
  page.on('console', (message) => console.log(`[${message.type()}]`, message.text()));
  page.on('pageerror', (error) => console.log('[page error]', String(error)));
  page.on('requestfinished', (request) => slow(request, 'answered'));
  page.on('requestfailed', (request) => slow(request, 'failed'));
  const asked = new Map();
  page.on('request', (request) => asked.set(request, Date.now()));
  function slow(request, how) {
    const took = Date.now() - (asked.get(request) ?? Date.now());
    asked.delete(request);
    if (took > 1000)
      console.log(((Date.now() - opened) / 1000).toFixed(1), how, `after ${took} ms`, request.url());
  }
  const opened = Date.now();
  await page.goto(`${base}/watch/01926f00-0000-7000-8000-000000000001`);
  await page.waitForFunction('window.__caudal?.status === "playing"', { polling: 20, timeout: 20_000 });
  const firstPicture = Date.now() - opened;
  const samples = [];
  const steps = JSON.parse(script);
  while (Date.now() - opened < Number(length) * 1000) {
    const at = (Date.now() - opened) / 1000;
    while (steps.length > 0 && at >= steps[0][0]) {
      const [, change] = steps.shift();
      console.log(at.toFixed(1), JSON.stringify(change));
      if ('offline' in change) await page.setOfflineMode(change.offline);
      else await control(change);
    }
    samples.push(
      await page.evaluate(() => {
        const { latencyMs, rate, buffered, target, stalls, status, level } = window.__caudal;
        const video = document.querySelector('video');
        const dropped = video.getVideoPlaybackQuality?.().droppedVideoFrames;
        return {
          latency: latencyMs(),
          rate,
          buffered,
          target,
          stalls,
          status,
          level,
          dropped,
          at: performance.now() / 1000,
        };
      }),
    );
    await pause(100);
  }
  if (process.env.SERIES)
    for (const { at, rate, latency, buffered, target } of samples.filter((_, n) => n % 5 === 0))
      console.log(at.toFixed(1), rate, latency?.toFixed(0), buffered.toFixed(3), target.toFixed(3));
  let last = '';
  for (const { at, status, stalls, target, latency, level } of samples) {
    const line = `${status} stalls=${stalls} level=${level}`;
    if (line !== last)
      console.log(at.toFixed(1), line, `target=${target.toFixed(2)}`, `latency=${latency?.toFixed(0)}`);
    last = line;
  }
  const steady = samples.filter(({ at, status }) => at > samples[0].at + 10 && status === 'playing');
  const sorted = (name) => steady.map((sample) => sample[name]).sort((one, other) => one - other);
  const line = (values) =>
    [0.5, 0.95, 1]
      .map((share) => values[Math.min(values.length - 1, Math.floor(values.length * share))]?.toFixed(3))
      .join(' / ');
  const outside = (least, most) =>
    (
      (100 * steady.filter(({ rate }) => rate < least - 1e-6 || rate > most + 1e-6).length) /
      steady.length
    ).toFixed(1);
  console.log({
    firstPictureMs: firstPicture,
    'latency ms p50 / p95 / max': line(sorted('latency')),
    'buffered s p50 / p95 / max': line(sorted('buffered')),
    'buffered s min': sorted('buffered')[0]?.toFixed(3),
    target: samples.at(-1).target.toFixed(3),
    '% of the time off rate 1': outside(1, 1),
    '% outside 0.97 to 1.03': outside(0.97, 1.03),
    stalls: samples.at(-1).stalls,
    droppedFrames: samples.at(-1).dropped,
  });
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
