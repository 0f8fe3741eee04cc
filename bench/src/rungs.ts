import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Follower } from './follower.ts';
import { load } from './processes.ts';
import { Publisher } from './publisher.ts';
import { FULL, Recording } from './recording.ts';
import { prepared, stage } from './standalone.ts';
import { median, pause, percentile, progress, RUNS, spread, table, title } from './table.ts';

const PRESETS = ['ultrafast', 'superfast', 'veryfast'];
const RUNGS = ['720p', '480p', '360p'];

interface Seen {
  /** Milliseconds behind the source, by rung. */
  late: Record<string, number[]>;
  lost: string[];
  encoder: number[];
  whole: number[];
}

/** How much later than the source each rung is, and what the encoder takes, by x264's preset. */
export async function measureRungs(): Promise<void> {
  const recording = await Recording.make(FULL);
  const seen = new Map<string, Seen>(
    PRESETS.map((preset) => [preset, { late: { '720p': [], '480p': [], '360p': [] }, lost: [], encoder: [], whole: [] }]),
  );
  try {
    const tags = await recording.tags();
    for (let run = 0; run < RUNS; run += 1) {
      for (const [preset, figures] of seen) {
        await measured(preset, tags, figures);
        progress(`rungs ${run + 1}/${RUNS} ${preset}: ffmpeg ${figures.encoder.at(-1)?.toFixed(2)} cores`);
      }
    }
  } finally {
    await recording.remove();
  }
  title(`Rungs of a 1080p30 stream of 6 Mb/s: how much later than the source's a part of theirs can be had, ${RUNS} runs of 12 s`);
  table(
    ['preset', ...RUNGS.map((rung) => `${rung} p50 / p95 ms`), 'cores of ffmpeg', 'cores in all', 'rungs given up'],
    [...seen].map(([preset, { late, lost, encoder, whole }]) => [
      preset,
      ...RUNGS.map((rung) => {
        const values = late[rung] ?? [];
        return values.length ? `${median(values).toFixed(0)} / ${percentile(values, 0.95).toFixed(0)}` : '–';
      }),
      spread(encoder, 2),
      spread(whole, 2),
      lost.join(', ') || 'none',
    ]),
  );
}

async function measured(preset: string, tags: Parameters<typeof Publisher.start>[1], figures: Seen): Promise<void> {
  const wrapper = await ffmpegWith(preset);
  try {
    const set = await stage({ CAUDAL_LADDER: RUNGS.join(','), CAUDAL_FFMPEG: wrapper.program });
    try {
      const stream = await prepared(set);
      const publisher = await Publisher.start(set.url, tags);
      // The ladder has caught up with the source by then.
      await pause(8000);
      const source = new Follower(set.platform.hls, stream, 'source');
      const rungs = RUNGS.map((rung) => [rung, new Follower(set.platform.hls, stream, rung)] as const);
      const isEncoder = (one: { command: string }) => one.command.includes('-filter_complex');
      const [encoder, whole] = await Promise.all([load(set.platform.pid, 12, isEncoder), load(set.platform.pid, 12)]);
      figures.encoder.push(encoder.cores);
      figures.whole.push(whole.cores);
      await Promise.all([source, ...rungs.map(([, rung]) => rung)].map((one) => one.stop()));
      for (const [name, rung] of rungs) {
        if (rung.gone) figures.lost.push(name);
        for (const [part, at] of rung.announced) {
          const late = at - (source.announced.get(part) ?? Number.NaN);
          if (!Number.isNaN(late)) figures.late[name]?.push(late);
        }
      }
      await publisher.stop();
    } finally {
      await set.platform.stop();
    }
  } finally {
    await wrapper.remove();
  }
}

/** ffmpeg as Caudal calls it, with another preset in the place of its own. */
async function ffmpegWith(preset: string): Promise<{ program: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-bench-'));
  const program = path.join(folder, 'ffmpeg');
  await writeFile(
    program,
    `#!/bin/bash
arguments=()
for argument in "$@"; do
    [ "$argument" = superfast ] && argument=${preset}
    arguments+=("$argument")
done
exec /usr/bin/ffmpeg "\${arguments[@]}"
`,
  );
  await chmod(program, 0o755);
  await chmod(folder, 0o755);
  return { program, remove: () => rm(folder, { recursive: true, force: true }) };
}
