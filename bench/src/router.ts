import { itself, load } from './processes.ts';
import { Publisher } from './publisher.ts';
import { Recording, SMALL } from './recording.ts';
import { stage, warm } from './standalone.ts';
import { streamer } from './streamer.ts';
import { median, pause, progress, RUNS, spread, table, title } from './table.ts';

const COUNTS = [0, 1, 20, 50];

/**
 * What a publisher costs the process that lets publishers in. In standalone mode that process is the api, the edge and
 * the lifecycle too, which follow each stream: so this is the most that the router can take.
 */
export async function measureRouter(): Promise<void> {
  const recording = await Recording.make(SMALL);
  const most = COUNTS.at(-1) ?? 0;
  const settings = {
    CAUDAL_LADDER: 'none',
    CAUDAL_MAX_STREAMS: String(most + 1),
    CAUDAL_MAX_CONNECTIONS_PER_ADDRESS: String(most + 1),
    CAUDAL_TRUSTED_PROXIES: '127.0.0.0/8',
  };
  const set = await stage(settings);
  const publishers: Publisher[] = [];
  const rows: { count: number; cores: number[]; rss: number[] }[] = [];
  try {
    const tags = await recording.tags();
    const urls: string[] = [];
    while (urls.length < most) urls.push(await streamer(set.platform.web, urls.length));
    // What fifty registrations have left with the allocator is no publisher's cost.
    await set.platform.interrupt();
    await set.platform.restart(settings);
    for (const count of COUNTS) {
      while (publishers.length < count) {
        await warm(set.platform);
        publishers.push(await Publisher.start(urls[publishers.length] ?? '', tags));
      }
      // What their starts have set off is over, and each has a replay's length behind it.
      await pause(12_000);
      const row = { count, cores: [] as number[], rss: [] as number[] };
      for (let run = 0; run < RUNS; run += 1) {
        const { cores, rssMiB } = await load(set.platform.pid, 5, itself(set.platform.pid));
        row.cores.push(cores * 100);
        row.rss.push(rssMiB);
      }
      const gone = publishers.filter((one) => !one.running).length;
      if (gone > 0) throw new Error(`${gone} of ${count} publishers were not kept`);
      progress(`router ${count} publishers: ${median(row.cores).toFixed(1)} % of a core`);
      rows.push(row);
    }
  } finally {
    for (const publisher of publishers) await publisher.stop();
    await set.platform.stop();
    await recording.remove();
  }
  const [idle] = rows;
  if (!idle) return;
  title(`Router: publishers of 0.4 Mb/s, no ladder, the main process alone, median of ${RUNS} (least–most)`);
  table(
    ['publishers', '% of a core', '% of a core each, idle taken off', 'RSS MiB', 'MiB each'],
    rows.map(({ count, cores, rss }) => [
      count,
      spread(cores, 1),
      count ? ((median(cores) - median(idle.cores)) / count).toFixed(2) : '–',
      median(rss).toFixed(0),
      count ? ((median(rss) - median(idle.rss)) / count).toFixed(2) : '–',
    ]),
  );
}
