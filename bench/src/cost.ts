import { Program } from '../../e2e/src/process.ts';
import { BUILDS } from './builds.ts';
import { caudal, nginxRtmp, nodeMediaServer2, nodeMediaServer4, type Peer } from './peers.ts';
import { load } from './processes.ts';
import { FULL, Recording } from './recording.ts';
import { median, pause, progress, RUNS, spread, table, title } from './table.ts';

/** One 1080p30 stream of 6 Mb/s, encoded beforehand, no viewers: all CPU seen is the server's. */
export async function measureCost(): Promise<void> {
  const recording = await Recording.make(FULL);
  const servers: (() => Promise<Peer | undefined>)[] = [
    ...BUILDS.map((build) => () => caudal('none', build)),
    nginxRtmp,
    nodeMediaServer2,
    nodeMediaServer4,
    ...BUILDS.map((build) => () => caudal('480p,360p', build)),
    () => caudal('720p,480p,360p'),
  ];
  const seen = new Map<string, { cores: number[]; rss: number[] }>();
  try {
    for (let run = 0; run < RUNS; run += 1) {
      // In turns, so that a slow minute of the machine hits all.
      for (const start of servers) {
        const peer = await start();
        if (!peer) continue;
        const { cores, rssMiB } = await measured(peer, recording.file);
        progress(`cost ${run + 1}/${RUNS} ${peer.name}: ${(cores * 100).toFixed(1)} % of a core`);
        const own = seen.get(peer.name) ?? { cores: [], rss: [] };
        own.cores.push(cores * 100);
        own.rss.push(rssMiB);
        seen.set(peer.name, own);
      }
    }
  } finally {
    await recording.remove();
  }
  const [base] = seen.values();
  if (!base) return;
  title(`Cost: one 1080p30 stream of 6 Mb/s, no viewers, all processes of the server, median of ${RUNS} (least–most)`);
  table(
    ['server', '% of a core', 'Caudal without a ladder / it', 'RSS MiB'],
    [...seen].map(([name, { cores, rss }]) => [
      name,
      spread(cores, 1),
      (median(base.cores) / median(cores)).toFixed(2),
      median(rss).toFixed(0),
    ]),
  );
}

async function measured(peer: Peer, input: string): Promise<{ cores: number; rssMiB: number }> {
  const publisher = new Program('ffmpeg', [
    '-v', 'error', '-nostdin', '-re', '-stream_loop', '-1', '-i', input, '-c', 'copy', '-f', 'flv', peer.url,
  ]);
  try {
    // Past the start: what a stream costs while it runs.
    await pause(6000);
    if (!publisher.running) throw new Error(`${peer.name}: ${publisher.stderr}`);
    return await load(peer.pid, 10);
  } finally {
    await publisher.stop();
    await peer.stop();
  }
}
