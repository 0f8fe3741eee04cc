import { execFileSync } from 'node:child_process';
import path from 'node:path';

import { FULL, Recording } from './recording.ts';
import { RUNS, spread, table, title } from './table.ts';

/** The packager without sockets, files and other tasks: a recording in memory, five minutes long. */
export async function measurePackaging(): Promise<void> {
  const recording = await Recording.make(FULL);
  try {
    const runs = Array.from({ length: RUNS }, () => {
      const printed = execFileSync(probe('package-recording'), [recording.file, '--times', '15'], { encoding: 'utf8' });
      return JSON.parse(printed) as { mediaSeconds: number; sharePercent: number; megabits: number; parts: number };
    });
    title(`Packaging alone: five minutes of 1080p30, median of ${RUNS} (least–most)`);
    table(
      ['Mb/s out', 'parts', '% of a core at real time', 'target'],
      [[(runs[0]?.megabits ?? 0).toFixed(1), runs[0]?.parts ?? 0, spread(runs.map((run) => run.sharePercent), 2), '0.5']],
    );
  } finally {
    await recording.remove();
  }
}

/** A program of `bench/probes`, built together with the one that is measured. */
export function probe(name: string): string {
  return path.join(path.dirname(process.env.CAUDAL_BIN ?? ''), name);
}
