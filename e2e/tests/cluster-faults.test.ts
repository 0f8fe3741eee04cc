import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { Cluster, kill, pushImage, releaseBefore, REMOVAL_MS } from '../src/cluster.ts';
import { Installation } from '../src/installation.ts';
import { DISCONTINUITY, LlHlsReader } from '../src/ll-hls-reader.ts';
import { source } from '../src/playlist.ts';
import { until } from '../src/process.ts';
import { Publisher } from '../src/publisher.ts';

/** What a fault was like. */
interface Row {
  fault: string;
  /** By how many seconds the latest part was late, or what else was waited for. */
  seconds: string;
  allowed: string;
  /** Parts that came more than half a second late, of how many. */
  'parts late'?: string;
  /** Seconds for which the publisher was not connected. */
  'publisher away'?: string;
  seen: string;
}

/** A broadcast on the air. */
interface OnAir {
  id: string;
  url: string;
  account: Account;
  publisher: Publisher;
}

interface Bounds {
  /** Seconds by which a part may be late. */
  stall: number;
  /** The publisher's own router goes, so it has to come back; what it is away for is its own. */
  leaves?: boolean;
  /** The edge that viewers ask, as long as it answers. */
  edge?: () => Promise<string>;
  /** The router that the publisher goes to. */
  router?: () => Promise<string>;
}

// One broadcast, with two viewers at each fault, lives through all of them, on one installation. The table has what each fault did,
// of one that is run again in CI both times.
describe('a broadcast on a real cluster goes on', () => {
  let cluster: Cluster;
  let installed: Installation;
  let urls: { api: string; hls: string; rtmp: string };
  let air: OnAir | undefined;
  const rows: Row[] = [];
  const kubectl = (...args: string[]): Promise<string> => installed.kubectl(...args);

  beforeAll(async () => {
    const lacking = Cluster.lacking();
    if (lacking) throw new Error(lacking);
    cluster = await Cluster.up();
    installed = new Installation(cluster);
    const before = releaseBefore();
    urls = await (before ? cluster.installRelease(before, ...BRIEF_DRAIN) : cluster.install(...BRIEF_DRAIN));
  }, 480_000);

  afterAll(async () => {
    await air?.publisher.stop();
    console.table(Object.fromEntries(rows.map(({ fault, ...row }) => [fault, row])));
    await Cluster.down();
  }, REMOVAL_MS);

  test('with the replicas of its roles on both nodes', async () => {
    for (const role of ['operator', 'ingest-router', 'hls-edge']) {
      expect([role, (await installed.podsOf(role, 1)).length, (await installed.podsOf(role, 2)).length]).toEqual([role, 1, 1]);
    }
  });

  test('when its worker is killed', () => endures('worker killed', { stall: 6 }, async (on) => {
    await another(on, async () => cluster.kill(await workerOf(on)));
  }), 200_000);

  test("when its worker's pod is deleted", () => endures('worker pod deleted', { stall: 6 }, async (on) => {
    await another(on, async () => kubectl('delete', 'pod', await workerOf(on), '--wait=false'));
  }), 200_000);

  test.each([
    ['is there', /^USER $/m],
    ['has claimed a worker', /^USER claimed$/m],
  ])('when the operator is killed as the broadcast %s', async (moment, sign) => {
    await installed.settled();
    const account = await register(urls.api, fresh('bo'));
    const leader = await cluster.processes(await installed.leading());
    const seen = cluster.watch(['lst'], '{.spec.channel} {.status.lifecycle.slot.slot}');
    const begun = Date.now();
    const publisher = publish(account);
    try {
      await seen.first(new RegExp(sign.source.replace('USER', account.username), 'm'), () => kill(leader));
      const viewer = new LlHlsReader((await listed(account)).streamUrl);
      await until('somebody watches', () => viewer.parts >= 30, 60_000);
      const { sent } = publisher;
      await viewer.stop();
      const first = (viewer.arrivals[0]?.at ?? Infinity) - begun;
      const media = (viewer.playlist?.segments ?? []).filter(({ gap }) => !gap);
      const finished = media.reduce((sum, { duration }) => sum + duration, 0);
      rows.push({
        fault: `operator killed as a broadcast ${moment}`, seconds: `${inSeconds(first)} to the first part`, allowed: '15',
        seen: `of ${sent.toFixed(1)} s sent, ${finished.toFixed(1)} s are in finished segments from ${media[0]?.msn} on`,
      });
      // Nothing of its beginning is missing: its first segment is listed, and as much as was sent but for the segment that is open.
      expect(media[0]?.msn).toBe(7);
      expect(sent - finished).toBeLessThan(4);
      expect([...viewer.seams, ...viewer.troubles.filter(({ what }) => what !== '404')]).toEqual([]);
      expect(publisher.absences).toEqual([]);
      expect(first).toBeLessThan(15_000);
    } finally {
      await seen.stop();
      await end(account, publisher);
    }
  }, 200_000);

  test('when the operator is killed while it moves', () => endures('operator killed in a move', { stall: 6 }, async (on) => {
    const leader = await cluster.processes(await installed.leading());
    const seen = cluster.watch([`lst/s-${on.id}`], '{.status.lifecycle.planned.stage.stage}');
    try {
      await another(on, async () => {
        const killed = seen.first(/^prepared$/m, () => kill(leader));
        await kubectl('annotate', `lst/s-${on.id}`, 'caudal.dev/move=now');
        await killed;
      });
    } finally {
      await seen.stop();
    }
  }), 200_000);

  test('to its end, when the operator is killed then', async () => {
    await installed.settled();
    const account = await register(urls.api, fresh('cy'));
    const publisher = publish(account);
    const { id, streamUrl } = await listed(account);
    const leader = await cluster.processes(await installed.leading());
    const seen = cluster.watch([`lst/s-${id}`], '{.status.phase}');
    try {
      let killed = Infinity;
      const dead = seen.first(/^Ending$/m, () => {
        killed = Date.now();
        kill(leader);
      });
      await publisher.stop();
      await dead;
      await until('its playlist is closed', async () => (await source(streamUrl)).ended, 60_000);
      await until('the api knows', async () => (await api<Stream>(urls.api, 'GET', `/api/streams/${id}`)).endedAt, 60_000);
      await until('it has ended', async () => (await phaseOf(id)) === 'Ended', 60_000);
      rows.push({ fault: 'operator killed in an end', seconds: `${inSeconds(Date.now() - killed)} to the end`, allowed: '15', seen: 'closed, and the api was told' });
      expect(Date.now() - killed).toBeLessThan(15_000);
    } finally {
      await seen.stop();
      await publisher.stop();
    }
  }, 200_000);

  test('when every operator is killed, and its worker', () => endures('all operators and worker killed', { stall: 15 }, async (on) => {
    const operators = await Promise.all((await installed.podsOf('operator')).map((pod) => cluster.processes(pod)));
    expect(operators.length).toBe(2);
    await another(on, async () => {
      const worker = await workerOf(on);
      kill(operators.flat());
      await cluster.kill(worker);
    });
  }), 200_000);

  test('when its router is killed', () => endures('router killed', { stall: 6, leaves: true }, async (on) => {
    await cluster.kill(await installed.podAt(await routerOf(on)));
    await until('the publisher is back', () => on.publisher.absences.length > 0);
  }), 200_000);

  test('when the edge that its viewers ask is killed', () => {
    let pod: string | undefined;
    const edge = async (): Promise<string> => installed.addressOf(([pod] = await installed.podsOf('hls-edge'))[0], 8000);
    return endures('edge killed', { stall: 6, edge }, async (_, viewers) => {
      await cluster.kill(pod ?? '');
      await until('its viewers notice', () => viewers.every((one) => one.lost.length > 0));
    });
  }, 200_000);

  test('when the api and its database are away', () => endures('api and PostgreSQL away for 20 s', { stall: 6 }, async (on, viewers) => {
    const before = viewers.map((one) => one.parts);
    const [pod] = await installed.podsOf('api');
    await cluster.withoutDatabase(async () => {
      await cluster.kill(pod ?? '');
      await until('the api is not ready', async () => (await installed.readyPodsOf('api')) === 0);
      await until('twenty seconds of it come', () => viewers.every((one, at) => one.parts >= (before[at] ?? 0) + 100), 60_000);
    });
    await until('the api is there again, and knows of it', async () => (await api<Stream>(urls.api, 'GET', `/api/streams/${on.id}`)).isLive, 120_000);
  }), 300_000);

  test('when the API server is killed', () => endures('API server restarted', { stall: 6 }, async () => {
    await cluster.restart('kube-apiserver');
    await until('the API server answers again', () => kubectl('get', 'lst'), 60_000);
    await until('an operator leads', async () => (await installed.leaseAge()) < 3_000);
  }), 200_000);

  /** Publisher and viewers lose neither router nor edge when something happens to node 2: those are other faults. */
  const node1 = {
    router: async (): Promise<string> => installed.addressOf((await installed.podsOf('ingest-router', 1))[0], 1935),
    edge: async (): Promise<string> => installed.addressOf((await installed.podsOf('hls-edge', 1))[0], 8000),
  };

  test.each([
    ['', 'node stopped', 1, 1, 6],
    [' and of the worker that waits', 'node stopped, with the worker that waits', 1, 2, 6],
    [' and of the operator that leads', 'node stopped, with the operator that leads', 2, 1, 15],
  ])('when the node of its worker%s stops', async (_, fault, leader, idle, stall) => {
    await goOffAir();
    // It replaces what crashed with the node before, which may be the operator that leads.
    await installed.settled();
    await installed.leadOn(leader);
    await installed.idleOn(2);
    try {
      await endures(fault, { stall, ...node1 }, async (on) => {
        // Workers spread over nodes by themselves. (A cordon of the broadcast's node would move it.)
        if (idle === 2) await installed.idleOn(2);
        else await until('the worker that waits is on the other node', async () => (await installed.idle()).some(({ node, ready }) => node === 'node-1' && ready));
        expect(await kubectl('get', `lst/s-${on.id}`, '-o', 'jsonpath={.status.worker.node}')).toBe('node-2');
        expect(await installed.podsOf('operator', leader)).toContain(await installed.leading());
        expect((await installed.podsOf('operator', 1)).length).toBeGreaterThan(0);
        await another(on, () => cluster.power(2, 'off'));
      });
    } finally {
      await cluster.power(2, 'on');
      // The next publisher goes by the Service again.
      await goOffAir();
      await until('its kubelet is back', async () => {
        const renewed = await cluster.kubectl('get', 'lease/node-2', '--namespace', 'kube-node-lease', '-o', 'jsonpath={.spec.renewTime}');
        return Date.now() - Date.parse(renewed) < 5_000;
      }, 120_000);
      await until('both nodes are ready', async () => !(await kubectl('get', 'nodes')).includes('NotReady'), 120_000);
    }
  }, 400_000);

  test('when the node of its worker is drained', async () => {
    await goOffAir();
    await installed.idleOn(2);
    try {
      await endures('node drained', { stall: 6, ...node1 }, async (on) => {
        expect(await kubectl('get', `lst/s-${on.id}`, '-o', 'jsonpath={.status.worker.node}')).toBe('node-2');
        await another(on, () => kubectl('drain', 'node-2', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=150s'));
      });
    } finally {
      await kubectl('uncordon', 'node-2');
      // The next publisher goes by the Service again.
      await goOffAir();
    }
  }, 400_000);

  test('when everything is upgraded', () => endures('helm upgrade', { stall: 6, leaves: true }, async (on) => {
    const worker = await workerOf(on);
    const idle = cluster.watch(['wp/default'], 'idle {.status.idle}');
    try {
      // The same program under another name, unless it is told of a release before this one.
      await cluster.installImage(await pushImage('caudal:next'), ...BRIEF_DRAIN);
      await until('the publisher has gone over to a new router', () => on.publisher.absences.length > 0, 120_000);
      await until('no old pod of a role is left', async () => !(await kubectl('get', 'pods', '-l', 'app.kubernetes.io/component!=transcoder-worker',
        '-o', 'jsonpath={.items[*].spec.containers[*].image}')).includes('caudal:test'), 180_000);
      await until('the worker that waits is a new one', async () => (await kubectl('get', 'pods', '-l', 'caudal.dev/worker=idle',
        '-o', 'jsonpath={.items[*].spec.containers[*].image}')).split(' ').every((image) => image.endsWith('caudal:next')), 60_000);
      // It was ready before the old one went.
      expect(idle.said).toMatch(/^(idle [1-9]\n)+$/);
    } finally {
      await idle.stop();
    }
    expect(await workerOf(on)).toBe(worker);
  }), 600_000);

  test('when an upgrade takes it along', () => endures('helm upgrade that moves', { stall: 6, leaves: true }, async (on) => {
    const worker = await workerOf(on);
    await cluster.installImage(await pushImage('caudal:later'), ...BRIEF_DRAIN, '--set', 'upgrade.movesPerMinute=60');
    await until('the publisher has gone over to a new router', () => on.publisher.absences.length > 0, 120_000);
    const moved = await until('another worker has it', async () => [await workerOf(on)].find((now) => now !== worker), 180_000);
    expect(await kubectl('get', `pod/${moved}`, '-o', 'jsonpath={.spec.containers[*].image}')).toMatch(/caudal:later$/);
    await until('it is live there', async () => (await phaseOf(on.id)) === 'Live', 60_000);
  }), 600_000);

  /** Does a fault to a broadcast that is watched; what became of it is a row of the table, and has to be within bounds. */
  async function endures(fault: string, bounds: Bounds, does: (on: OnAir, viewers: LlHlsReader[]) => Promise<void>): Promise<void> {
    await installed.settled();
    const on = await onAir(bounds.router);
    await installed.settled();
    const first = bounds.edge ? `http://${await bounds.edge()}/live/${on.id}/master.m3u8` : on.url;
    const viewers = ['source', 'audio'].map((rendition) => new LlHlsReader(first, rendition, bounds.edge && on.url));
    const { absences } = on.publisher;
    absences.length = 0;
    let from = Date.now();
    try {
      await until('it is watched', () => viewers.every((one) => one.parts >= 20));
      const session = await sessionOf(on);
      from = Date.now();
      await does(on, viewers);
      const before = viewers.map((one) => one.parts);
      await until('its viewers go on', () => viewers.every((one, at) => one.parts >= (before[at] ?? 0) + 30), 60_000);
      const row = record(fault, bounds, viewers, absences, from);
      expect(row.wrong).toEqual([]);
      expect(row.stall).toBeLessThan(bounds.stall * 1000);
      expect(Math.max(...viewers.map((one) => one.longestFrame))).toBeLessThan(0.1);
      if (bounds.leaves) return;
      expect(absences).toEqual([]);
      expect(await sessionOf(on)).toBe(session);
    } catch (error) {
      console.log(`${fault}:\n${await installed.account(from).catch(String)}`);
      throw error;
    } finally {
      await Promise.all(viewers.map((one) => one.stop()));
    }
  }

  /** Adds a fault to the table. */
  function record(fault: string, { stall: allowed, leaves }: Bounds, viewers: LlHlsReader[], absences: Publisher['absences'], from: number): { stall: number; wrong: object[] } {
    const to = Date.now();
    const away = absences.reduce((sum, one) => sum + one.to - one.from, 0);
    const refused = absences.reduce((sum, one) => sum + one.to - (one.refused ?? one.to), 0);
    const delays = viewers.flatMap((one) => one.delays(from, to));
    const silence = Math.max(...viewers.map((one) => one.silence(from, to)));
    // A publisher that was away has made everything later since; how long it was turned away for is the platform's.
    const stall = leaves ? Math.max(0, silence - (away - refused)) : Math.max(silence, ...delays);
    // One that comes back begins anew: a discontinuity, behind which another clock may tell the time.
    const breaks = leaves ? absences.length : 0;
    const wrong = viewers.flatMap(({ troubles, seams }) => {
      const begun = troubles.filter(({ what }) => what === DISCONTINUITY).slice(0, breaks);
      const behind = new Set(begun.map(({ msn }) => msn));
      return [...troubles.filter((one) => !begun.includes(one)), ...seams.filter(({ msn }) => !behind.has(msn))];
    });
    const lost = viewers.reduce((sum, one) => sum + one.lost.length, 0);
    rows.push({
      fault, seconds: inSeconds(stall), allowed: String(allowed),
      'parts late': leaves ? '' : `${delays.filter((delay) => delay > 500).length} of ${delays.length}`,
      'publisher away': absences.map((one) => inSeconds(one.to - one.from) + (one.refused ? ` (refused for ${inSeconds(one.to - one.refused)})` : '')).join(' and '),
      seen: (wrong.map(({ what, at }) => `${what}: ${at}`).join('; ') || 'nothing missing, nothing twice') + (lost ? `; ${lost} requests went to another edge` : ''),
    });
    return { stall, wrong };
  }

  /** The broadcast that is on the air, or another one where there is none. */
  async function onAir(router?: () => Promise<string>): Promise<OnAir> {
    if (air && (await phaseOf(air.id)) === 'Live') return air;
    await air?.publisher.stop();
    const account = await register(urls.api, fresh('ana'));
    const publisher = publish(account, router && (await router()));
    const { id, streamUrl } = await listed(account);
    return (air = { id, url: streamUrl, account, publisher });
  }

  async function goOffAir(): Promise<void> {
    const last = air;
    air = undefined;
    if (last) await end(last.account, last.publisher);
  }

  function publish(account: Account, router?: string): Publisher {
    const base = router ? `rtmp://${router}/live` : account.rtmpUrl;
    return new Publisher(`${base}/${account.streamKey}`, { size: '320x180', bitrate: '300k' });
  }

  function listed(account: Account): Promise<Stream> {
    return until('it is listed', async () => {
      const streams = await api<Stream[]>(urls.api, 'GET', '/api/streams');
      return streams.find(({ user }) => user.username === account.username);
    }, 60_000);
  }

  /** Ends a broadcast in good order, so that its worker makes room. */
  async function end(account: Account, publisher: Publisher): Promise<void> {
    await publisher.stop();
    await until('it is over', async () =>
      ['', 'Ended'].includes(await kubectl('get', 'lst', '-o', `jsonpath={.items[?(@.spec.channel=="${account.username}")].status.phase}`)), 90_000);
  }

  /** Waits until a broadcast is another worker's than before. */
  async function another(on: OnAir, fault: () => Promise<unknown>): Promise<void> {
    const worker = (): Promise<string> => kubectl('get', `lst/s-${on.id}`, '-o', 'jsonpath={.status.worker.id}');
    const before = await worker();
    await fault();
    await until('another worker has it', async () => ![before, ''].includes(await worker()) && (await phaseOf(on.id)) === 'Live', 60_000);
  }

  const workerOf = ({ id }: OnAir): Promise<string> => until('it has a worker', () => kubectl('get', `lst/s-${id}`, '-o', 'jsonpath={.status.worker.pod}'));
  const phaseOf = (id: string): Promise<string> => kubectl('get', `lst/s-${id}`, '-o', 'jsonpath={.status.phase}');
  const sessionOf = ({ id }: OnAir): Promise<string> => kubectl('get', `lst/s-${id}`, '-o', 'jsonpath={.spec.ingest.session} {.spec.ingest.generation}');
  const routerOf = async ({ id }: OnAir): Promise<string> => new URL(await kubectl('get', `lst/s-${id}`, '-o', 'jsonpath={.spec.ingest.router}')).hostname;
});

const inSeconds = (ms: number): string => (ms / 1000).toFixed(1);

/** A router's publishers leave it over five minutes; a single one is to be seen leaving sooner. */
const BRIEF_DRAIN = ['--set', 'ingestRouter.drain.acceptSeconds=5,ingestRouter.drain.spreadSeconds=5'];
