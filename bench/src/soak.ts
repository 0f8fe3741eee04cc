import { execFileSync } from 'node:child_process';
import { readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { register } from '../../e2e/src/account.ts';
import { LlHlsReader } from '../../e2e/src/ll-hls-reader.ts';
import type { Platform } from '../../e2e/src/platform.ts';
import { tree } from './processes.ts';
import { Publisher } from './publisher.ts';
import { Recording, SMALL } from './recording.ts';
import { prepared, stage } from './standalone.ts';
import { StrangerCrowd } from './strangers.ts';
import { pause, progress, table, title } from './table.ts';

/** What a platform holds at one moment. */
interface Sample {
  minute: number;
  mainMiB: number;
  allMiB: number;
  files: number;
  threads: number;
  processes: number;
  mediaMiB: number;
  mediaFiles: number;
  databaseMiB: number;
  streamFiles: number;
  logKiB: number;
}

const MINUTES = Number(process.env.SOAK_MINUTES ?? 120);
const STRANGERS = 100;
const MIB = 1024 * 1024;

/**
 * Whether anything only grows: one channel that never stops, with a viewer; one that starts and stops each minute; and
 * a hundred strangers who knock, each from an address of its own.
 */
export async function measureSoak(): Promise<void> {
  const recording = await Recording.make(SMALL);
  const set = await stage({ CAUDAL_LADDER: 'none' });
  const { platform } = set;
  // The log of a platform that runs as a service.
  const logs = path.join(platform.folder, 'logs');
  await platform.interrupt();
  await platform.restart({ CAUDAL_LADDER: 'none', LOG_DIR: logs });
  const samples: Sample[] = [];
  const crowd = new StrangerCrowd(platform, STRANGERS);
  let steady: Publisher | undefined;
  let viewer: LlHlsReader | undefined;
  let broadcasts = 0;
  try {
    const tags = await recording.tags();
    const other = await register(platform.web, 'sometimes');
    const id = await prepared(set);
    steady = await Publisher.start(set.url, tags);
    viewer = new LlHlsReader(`${platform.hls}/live/${id}/master.m3u8`);
    crowd.start(id);
    const began = Date.now();
    for (let minute = 0; minute <= MINUTES; minute += 1) {
      const short = await Publisher.start(`${other.rtmpUrl}/${other.streamKey}`, tags);
      broadcasts += 1;
      await pause(25_000);
      await short.stop();
      // What is measured is what stays: the short broadcast may take its reconnect window of 30 s to end.
      await pause(Math.max(0, began + (minute + 1) * 60_000 - Date.now()));
      if (!steady.running) throw new Error(`the steady publisher was not kept; minute ${minute}`);
      const sample = await look(platform, logs, minute + 1);
      samples.push(sample);
      progress(`soak ${JSON.stringify(sample)}`);
    }
  } finally {
    await crowd.stop();
    await viewer?.stop();
    await steady?.stop();
    await platform.stop();
    await recording.remove();
  }
  const quarter = Math.max(1, Math.floor(MINUTES / 4));
  const shown = samples.filter(({ minute }) => minute === 5 || minute % quarter === 0 || minute === samples.length);
  title(
    `Soak: ${MINUTES} minutes, one publisher of 0.4 Mb/s with a viewer, ${broadcasts} short broadcasts, ${STRANGERS} strangers who knocked ${crowd.knocks} times`,
  );
  table(
    ['minute', 'main MiB', 'all MiB', 'files', 'threads', 'processes', 'media MiB', 'media files', 'database MiB', 'stream records', 'log KiB'],
    shown.map((one) => [
      one.minute, one.mainMiB.toFixed(0), one.allMiB.toFixed(0), one.files, one.threads, one.processes,
      one.mediaMiB.toFixed(1), one.mediaFiles, one.databaseMiB.toFixed(1), one.streamFiles, one.logKiB.toFixed(0),
    ]),
  );
  console.log(`\nThe viewer fetched ${viewer?.parts} parts and met ${viewer?.troubles.length} troubles.`);
  for (const { what, at } of viewer?.troubles.slice(0, 10) ?? []) console.log(`* ${what}: ${at}`);
}

async function look(platform: Platform, logs: string, minute: number): Promise<Sample> {
  const processes = await tree(platform.pid);
  const main = processes.find(({ pid }) => pid === platform.pid);
  const media = await content(path.join(platform.folder, 'media'));
  const status = await readFile(`/proc/${platform.pid}/status`, 'utf8');
  return {
    minute,
    mainMiB: main?.rssMiB ?? Number.NaN,
    allMiB: processes.reduce((sum, { rssMiB }) => sum + rssMiB, 0),
    files: (await readdir(`/proc/${platform.pid}/fd`)).length,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]),
    processes: processes.length,
    mediaMiB: media.bytes / MIB,
    mediaFiles: media.files,
    databaseMiB: Number(execFileSync('du', ['-sk', path.join(platform.folder, 'postgres')], { encoding: 'utf8' }).split('\t')[0]) / 1024,
    streamFiles: (await content(path.join(platform.folder, 'streams'))).files,
    logKiB: (await content(logs)).bytes / 1024,
  };
}

/** Every file below a folder; what goes meanwhile does not count. */
async function content(folder: string): Promise<{ files: number; bytes: number }> {
  const total = { files: 0, bytes: 0 };
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (!entry.isFile()) continue;
    const size = await stat(path.join(entry.parentPath, entry.name)).catch(() => undefined);
    if (!size) continue;
    total.files += 1;
    total.bytes += size.size;
  }
  return total;
}
