import { api } from '../../e2e/src/account.ts';
import { browse, CHROMIUM, type Page } from '../../e2e/src/browser.ts';
import { parse } from '../../e2e/src/playlist.ts';
import { until } from '../../e2e/src/process.ts';
import { Publisher } from './publisher.ts';
import { Recording } from './recording.ts';
import { prepared, stage, warm, type Stage } from './standalone.ts';
import { pause, progress, spread, table, title } from './table.ts';

const STARTS = Number(process.env.BENCH_RUNS ?? 7);

/** From the publisher's first keyframe to what can be fetched, and to what is seen. */
export async function measureStart(): Promise<void> {
  const recording = await Recording.make({ size: '1280x720', bitrate: '2500k' });
  const { browser, close } = await browse(CHROMIUM);
  const [accepted, fetchable, shown]: number[][] = [[], [], []];
  const set = await stage();
  try {
    const tags = await recording.tags();
    for (let run = 0; run < STARTS; run += 1) {
      const stream = await prepared(set);
      const page = await browser.newPage();
      await waitInFrontOf(page, `${set.platform.web}/watch/${stream}`);
      // The page asks the api now and then whether it begins: any moment between two questions is as likely.
      await pause(3000 + Math.random() * 3000);
      const asked = Date.now();
      const publisher = await Publisher.start(set.url, tags);
      const part = await firstPart(set, stream);
      const seen = await until('the first picture', () => page.evaluate(() => (window as unknown as { shown?: number }).shown));
      accepted?.push(publisher.firstKeyframe - asked);
      fetchable?.push(part - publisher.firstKeyframe);
      shown?.push(seen - publisher.firstKeyframe);
      progress(`start ${run + 1}/${STARTS}: part ${part - publisher.firstKeyframe} ms, picture ${seen - publisher.firstKeyframe} ms`);
      await page.close();
      await publisher.stop();
      await api(set.platform.web, 'DELETE', `/api/streams/${stream}`, { token: set.account.accessToken });
      await set.platform.line('the stream is over', (line) => line.stream === stream && line.phase === 'Ended');
      // The key is held for a while after a DELETE, so the next broadcast is another streamer's.
      set.account = await another(set, run);
      set.url = `${set.account.rtmpUrl}/${set.account.streamKey}`;
      await warm(set.platform);
    }
  } finally {
    await close();
    await set.platform.stop();
    await recording.remove();
  }
  title(`Start: 720p30, default ladder, a warm worker, milliseconds, median of ${STARTS} (least–most)`);
  table(
    ['from', 'to', 'ms', 'target'],
    [
      ['TCP connection of the publisher', 'first keyframe sent (admission)', spread(accepted ?? []), ''],
      ['first keyframe sent', 'first part fetched', spread(fetchable ?? []), '500'],
      ['first keyframe sent', 'first picture in a watch page that was open', spread(shown ?? []), '1000'],
    ],
  );
}

async function another(set: Stage, run: number): Promise<Stage['account']> {
  const { register } = await import('../../e2e/src/account.ts');
  return register(set.platform.web, `bench${run}`);
}

/** Opens the page and notes when its video shows something. */
async function waitInFrontOf(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.waitForSelector('video');
  await page.evaluate(() => {
    document.querySelector('video')?.requestVideoFrameCallback(() => Object.assign(window, { shown: Date.now() }));
  });
  await until('the page waits for the stream', () =>
    page.evaluate(() => (window as unknown as { __caudal?: { status: string } }).__caudal?.status === 'waiting'),
  );
}

/** Asks for the playlist until it is there, and for its first part. Gives the time at which it had come. */
async function firstPart(set: Stage, stream: string): Promise<number> {
  const base = `${set.platform.hls}/live/${stream}/source`;
  for (;;) {
    const playlist = await fetch(`${base}/index.m3u8`);
    const text = await playlist.text();
    const [first] = playlist.ok ? parse(text).parts : [];
    if (first) {
      const part = await fetch(`${base}/${first.uri}`);
      await part.arrayBuffer();
      if (part.ok) return Date.now();
    }
    await pause(5);
  }
}
