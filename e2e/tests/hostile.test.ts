import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { heldOpen, listeningPorts } from '../src/connection.ts';
import { encode } from '../src/encoder.ts';
import { HABITS, IdlePeer } from '../src/idle-peer.ts';
import { LlHlsReader } from '../src/ll-hls-reader.ts';
import { metric } from '../src/metrics.ts';
import { Platform } from '../src/platform.ts';
import { until, type Program } from '../src/process.ts';
import { workerProcess } from '../src/processes.ts';
import { RtmpPeer } from '../src/rtmp-peer.ts';

// What single bytes can do is tested in crates/rtmp/tests; here it is numbers, against the whole platform.
describe('a live stream goes on', () => {
  let platform: Platform;
  let ana: Account;
  let port: number;
  let encoder: Program;
  let stream: Stream;
  let viewer: LlHlsReader;
  let wrapper: string;

  beforeAll(async () => {
    // As a login shell starts programs.
    wrapper = await mkdtemp(path.join(tmpdir(), 'caudal-limit-'));
    const program = path.join(wrapper, 'caudal');
    await writeFile(program, `#!/bin/sh\nulimit -Sn 1024\nexec "${process.env.CAUDAL_BIN}" "$@"\n`);
    await chmod(program, 0o755);
    const real = process.env.CAUDAL_BIN;
    process.env.CAUDAL_BIN = program;
    try {
      platform = await Platform.start({
        CAUDAL_LADDER: 'none',
        CAUDAL_MAX_CONNECTIONS_PER_ADDRESS: '1000000',
        LOG_LEVEL: 'warn,caudal=debug',
      });
    } finally {
      process.env.CAUDAL_BIN = real;
    }
    port = Number(new URL(platform.rtmp.replace(/^rtmp/, 'http')).port);
    ana = await register(platform.web, 'ana');
    encoder = encode(`${ana.rtmpUrl}/${ana.streamKey}`, { size: '320x240', fps: 25, gop: 50, bitrate: '300k' });
    stream = await until('the stream is listed', async () => {
      const [first] = await api<Stream[]>(platform.web, 'GET', '/api/streams');
      return first;
    });
    viewer = new LlHlsReader(stream.streamUrl);
    await until('the first segments', () => viewer.msn >= 8);
  });

  afterAll(async () => {
    await viewer?.stop();
    await encoder?.stop();
    await platform?.stop();
    await rm(wrapper, { recursive: true, force: true });
  });

  afterEach(() => {
    expect(viewer.troubles).toEqual([]);
    expect(encoder.running).toBe(true);
  });

  async function goesOn(): Promise<void> {
    const { msn } = viewer;
    await until('the viewer gets two segments more', () => viewer.msn >= msn + 2);
  }

  test('with ten thousand connections that say nothing, and as many as the system allows for', async () => {
    const allowed = await files(platform.pid);
    const mine = await files(process.pid);
    expect(allowed.soft).toBe(Math.min(allowed.hard, 1_048_576));
    // Some room is left for what both do besides.
    const count = Math.min(10_000, mine.soft - mine.open - 500);
    if (count < 10_000) console.log(`only ${count} connections: this system allows ${mine.soft} open files`);
    const peers: RtmpPeer[] = [];
    try {
      for (let opened = 0; opened < count; opened += 500) {
        const batch = Array.from({ length: Math.min(500, count - opened) }, () => RtmpPeer.open(port));
        for (const peer of await Promise.all(batch)) {
          // Half of them shake hands first, which gives them twice the time.
          if (peers.length % 2 === 0) peer?.shakeHands();
          if (peer) peers.push(peer);
        }
      }
      expect(peers.length).toBe(count);
      const open = await metric(platform.admin, 'caudal_ingest_router_connections');
      console.log(`${open} of ${count} connections open at once, by ${(await files(platform.pid)).open} files`);
      // A newcomer is let in among them.
      const bo = await register(platform.web, fresh('bob'));
      const newcomer = await RtmpPeer.open(port);
      if (!newcomer) throw new Error('no connection');
      peers.push(newcomer);
      newcomer.publish('live', bo.streamKey, bo.rtmpUrl);
      await until('a newcomer is let in', () => newcomer.heard.includes('NetStream.Publish.Start'), 60_000);
      await goesOn();
      // The router ends every one of them by its deadlines: nobody here closes any but the newcomer.
      newcomer.close();
      await until('only the encoder is left', async () =>
        (await metric(platform.admin, 'caudal_ingest_router_connections')) === 1, 60_000);
    } finally {
      peers.forEach((peer) => peer.close());
    }
  }, 240_000);

  test('while somebody guesses a thousand keys, which are slowed down and never logged', async () => {
    const asked = () => metric(platform.admin, 'caudal_api_admissions_total');
    const before = await asked();
    const began = Date.now();
    const guess = (index: number) => `sk_guess_${index}_zebra`;
    const answers = new Map<string, number>();
    for (let tried = 0; tried < 1000; tried += 20) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const peer = await RtmpPeer.open(port);
          if (!peer) throw new Error('no connection');
          peer.publish('live', guess(tried + index), ana.rtmpUrl);
          const answer = await until('an answer', () => /NetStream\.Publish\.\w+/.exec(peer.heard)?.[0]);
          answers.set(answer, (answers.get(answer) ?? 0) + 1);
          peer.close();
        }),
      );
      // Looked at each time, as only the end of it is kept.
      expect(platform.log).not.toContain('zebra');
    }
    expect(Object.fromEntries(answers)).toEqual({ 'NetStream.Publish.Denied': 1000 });
    // Ten at once and then one in six seconds; those that are asked at the same time count after their answer.
    const most = 10 + 20 + Math.ceil((Date.now() - began) / 6000);
    expect((await asked()) - before).toBeLessThanOrEqual(most);
    const refused = (reason: string) =>
      metric(platform.admin, 'caudal_ingest_router_refusals_total', [`reason="${reason}"`]);
    expect((await refused('unknown_key')) + (await refused('guessing'))).toBe(1000);
    expect(await refused('guessing')).toBeGreaterThanOrEqual(1000 - most);
    await goesOn();
    expect(platform.log).toContain('publisher refused');
    expect(platform.log).not.toContain(ana.streamKey);
  });

  test('while nine thousand that say nothing knock at the pages and at the playlists', async () => {
    const mine = await files(process.pid);
    const count = Math.min(9_000, mine.soft - mine.open - 500);
    expect(count, 'this system allows too few open files').toBeGreaterThan(2_000);
    for (const door of [platform.web, platform.hls]) {
      const at = Number(new URL(door).port);
      const silent: IdlePeer[] = [];
      try {
        for (let knocked = 0; knocked < count; knocked += 500) {
          const batch = await Promise.all(
            Array.from({ length: 500 }, (_, index) => IdlePeer.open(at, { first: index % 2 === 0 ? '' : 'P' })),
          );
          silent.push(...batch.filter((peer) => peer !== undefined));
          // From the same address as all of them.
          const answer = await fetch(`${door}/api/streams`, { headers: { connection: 'close' } });
          expect(answer.status).toBeLessThan(500);
        }
        await goesOn();
        const remotes = new Set(silent.map((peer) => peer.port));
        await until('none of them is left', async () => (await heldOpen(at, remotes)) === 0, 60_000);
      } finally {
        silent.forEach((peer) => peer.close());
      }
    }
  }, 240_000);

  test('and a peer that owes a listener something is gone after its deadline, at every listener there is', async () => {
    const { worker } = await platform.line('which worker it has', (line) => line.stream === stream.id && !!line.worker);
    const process = await workerProcess(String(worker));
    if (!process) throw new Error('no such worker');
    // Web, HLS, RTMP, the api's and the router's internal ones, admin, and the worker's two.
    const ports = [...(await listeningPorts(platform.pid)), ...(await listeningPorts(process.pid))];
    expect(ports.length).toBe(8);
    await noneIsLeft(ports);
    await goesOn();
  }, 240_000);

  test('when viewers make up renditions and the worker dies meanwhile', async () => {
    const { worker } = await platform.line('which worker it has', (line) => line.stream === stream.id && !!line.worker);
    const process = await workerProcess(String(worker));
    if (!process) throw new Error('no such worker');
    const makeUp = async (from: number) => {
      const answers = await Promise.all(
        Array.from({ length: 500 }, async (_, index) => {
          const name = String(from + index).padStart(30, '0');
          return (await fetch(new URL(`${name}/1-1.m4s`, stream.streamUrl))).status;
        }),
      );
      expect(new Set(answers)).toEqual(new Set([404]));
    };
    await makeUp(0);
    globalThis.process.kill(process.pid, 'SIGKILL');
    await makeUp(500);
    await goesOn();
  });
});

describe('over TLS', () => {
  test('a peer that owes a listener something is gone after its deadline, at every listener there is', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'caudal-tls-'));
    const [key, certificate] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name));
    const made = spawnSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
      '-subj', '/CN=localhost', '-keyout', `${key}`, '-out', `${certificate}`,
    ]);
    expect(made.status, String(made.stderr)).toBe(0);
    const platform = await Platform.start({
      CAUDAL_TLS_CERT: `${certificate}`,
      CAUDAL_TLS_KEY: `${key}`,
      RTMPS_PORT: '0',
      CAUDAL_MAX_CONNECTIONS_PER_ADDRESS: '1000000',
    });
    try {
      await noneIsLeft(await listeningPorts(platform.pid));
    } finally {
      await platform.stop();
      await rm(folder, { recursive: true, force: true });
    }
  }, 240_000);
});

/** Opens a peer of each kind at each port, and waits until the platform has closed them all. */
async function noneIsLeft(ports: number[]): Promise<void> {
  const peers: IdlePeer[] = [];
  try {
    const opened = new Map<string, { at: number; remotes: Set<number> }>();
    for (const at of ports) {
      for (const [who, habit] of Object.entries(HABITS)) {
        const peer = await IdlePeer.open(at, habit);
        if (!peer) throw new Error(`no connection to ${at}`);
        peers.push(peer);
        opened.set(`${who}, at port ${at}`, { at, remotes: new Set([peer.port]) });
      }
    }
    let left: string[] = [];
    const look = async () => {
      left = [];
      for (const [name, { at, remotes }] of opened) if ((await heldOpen(at, remotes)) > 0) left.push(name);
      return left.length === 0;
    };
    await until('all of them are gone', look, 90_000).catch(() => expect(left).toEqual([]));
  } finally {
    peers.forEach((peer) => peer.close());
  }
}

/** A process's open files and how many it may have. */
async function files(pid: number): Promise<{ open: number; soft: number; hard: number }> {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? [];
  const number = (text = '') => (text === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(text));
  return { open: (await readdir(`/proc/${pid}/fd`)).length, soft: number(soft), hard: number(hard) };
}
