/** What a stream costs and how late it is, beside peers where they are installed. Prints tables; judges nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { api, register, type Stream } from '../../e2e/src/account.ts';
import { Platform } from '../../e2e/src/platform.ts';
import { Program, until } from '../../e2e/src/process.ts';
import { publishClock, type Encoder } from './clock.ts';
import { costOfTenSeconds, type Cost } from './cost.ts';
import { percentile, watch } from './glass.ts';
import { nginx, nodeMediaServer, type Peer } from './peers.ts';

const only = process.argv[2];

if (!only || only === 'cost') await costs();
if (!only || only === 'glass') await glass();

/** One 1080p30 stream of 6 Mb/s, encoded beforehand, no viewers: all CPU seen is the server's. */
async function costs(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-bench-'));
  const input = path.join(folder, 'input.flv');
  try {
    const made = await new Program('ffmpeg', [
      '-v', 'error', '-nostdin', '-f', 'lavfi', '-i', 'testsrc2=size=1920x1080:rate=30,noise=alls=12:allf=t',
      '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000', '-t', '20', '-c:v', 'libx264', '-preset', 'ultrafast',
      '-g', '60', '-keyint_min', '60', '-sc_threshold', '0', '-b:v', '6M', '-maxrate', '6M', '-bufsize', '6M',
      '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '160k', input,
    ]).exited();
    if (made !== 0) throw new Error('the input could not be encoded');
    const rows: [string, Cost][] = [];
    for (const ladder of ['none', '480p,360p', '720p,480p,360p']) {
      const peer = await caudal(ladder);
      rows.push([peer.name, await measured(peer, input)]);
    }
    for (const start of [nginx, nodeMediaServer]) {
      const peer = await start();
      if (peer) rows.push([peer.name, await measured(peer, input)]);
    }
    const base = rows[0]?.[1];
    if (!base) return;
    console.log('\nOne 1080p30 stream of 6 Mb/s, no viewers, the whole tree of processes:\n');
    console.log('| server | CPU s per 10 s | ours without a ladder / it | RSS MiB | ratio |\n|---|---|---|---|---|');
    for (const [name, { cpuSeconds, rssMiB }] of rows) {
      console.log(
        `| ${name} | ${cpuSeconds.toFixed(2)} | ${(base.cpuSeconds / cpuSeconds).toFixed(2)} | ${rssMiB.toFixed(0)} | ${(base.rssMiB / rssMiB).toFixed(2)} |`,
      );
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function caudal(ladder: string): Promise<Peer> {
  const platform = await Platform.start({ CAUDAL_LADDER: ladder });
  const { rtmpUrl, streamKey } = await register(platform.web, 'bench');
  return {
    name: `Caudal, ladder ${ladder}`,
    url: `${rtmpUrl}/${streamKey}`,
    pid: platform.pid,
    stop: () => platform.stop(),
  };
}

async function measured(peer: Peer, input: string): Promise<Cost> {
  const publisher = new Program('ffmpeg', [
    '-v', 'error', '-nostdin', '-re', '-stream_loop', '-1', '-i', input, '-c', 'copy', '-f', 'flv', peer.url,
  ]);
  try {
    // Past the start: what a stream costs while it runs.
    await new Promise((resolve) => setTimeout(resolve, 8000));
    if (!publisher.running) throw new Error(`${peer.name}: ${publisher.stderr}`);
    return await costOfTenSeconds(peer.pid);
  } finally {
    await publisher.stop();
    await peer.stop();
  }
}

/** The clock in the frames, from its drawing to the browser's showing it. */
async function glass(): Promise<void> {
  console.log('\nGlass to glass, 720p30, Chromium, our watch page, 45 s after 15 s of settling:\n');
  console.log('| encoder | ladder | p50 | p95 | max ms | stalls | off rate | first picture ms |\n|---|---|---|---|---|---|---|---|');
  for (const [encoder, ladder] of [['zerolatency', 'none'], ['zerolatency', '480p'], ['obs', 'none']] as [Encoder, string][]) {
    const platform = await Platform.start({ CAUDAL_LADDER: ladder });
    try {
      const { rtmpUrl, streamKey } = await register(platform.web, 'bench');
      const publisher = publishClock(`${rtmpUrl}/${streamKey}`, encoder);
      try {
        const stream = await until('the stream is live', async () => {
          const [first] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
          return first;
        });
        const { latencies, stalls, offRate, firstPicture } = await watch(`${platform.web}/watch/${stream.id}`, 15, 45);
        const figures = [0.5, 0.95, 1].map((p) => percentile(latencies, p).toFixed(0)).join(' | ');
        console.log(`| ${encoder} | ${ladder} | ${figures} | ${stalls} | ${(offRate * 100).toFixed(1)} % | ${firstPicture} |`);
      } finally {
        await publisher.stop();
      }
    } finally {
      await platform.stop();
    }
  }
}
