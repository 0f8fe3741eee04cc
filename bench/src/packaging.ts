import { execFileSync } from 'node:child_process';

import { BUILDS, probe, type Build } from './builds.ts';
import { FULL, Recording } from './recording.ts';
import { RUNS, spread, table, title } from './table.ts';

/** The packager without sockets, files and other tasks: a recording in memory, five minutes long. */
export async function measurePackaging(): Promise<void> {
  const recording = await Recording.make(FULL);
  try {
    const figures = new Map<Build, Packaged[]>(BUILDS.map((build) => [build, []]));
    for (let run = 0; run < RUNS; run += 1) {
      for (const [build, runs] of figures) {
        const printed = execFileSync(probe('package-recording', build), [recording.file, '--times', '15'], { encoding: 'utf8' });
        runs.push(JSON.parse(printed) as Packaged);
      }
    }
    title(`Packaging alone: five minutes of 1080p30, median of ${RUNS} (least–most)`);
    table(
      ['build', 'Mb/s out', 'parts', '% of a core at real time', 'target'],
      [...figures].map(([{ name }, runs]) => [
        name,
        (runs[0]?.megabits ?? 0).toFixed(1),
        runs[0]?.parts ?? 0,
        spread(runs.map((run) => run.sharePercent), 3),
        '0.5',
      ]),
    );
  } finally {
    await recording.remove();
  }
}

interface Packaged {
  mediaSeconds: number;
  sharePercent: number;
  megabits: number;
  parts: number;
}
