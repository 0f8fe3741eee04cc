import { setTimeout as passed } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, BEHIND_A_PROXY, register, type Account, type Stream } from '../src/account.ts';
import { ApiReplicas } from '../src/api-replicas.ts';
import { history, RawChatClient, SocketIoChatClient, type ChatClient } from '../src/chat-client.ts';
import { encode } from '../src/encoder.ts';
import { LlHlsReader } from '../src/ll-hls-reader.ts';
import { query } from '../src/postgres.ts';
import { until, type Program } from '../src/process.ts';
import { SteadyReader } from '../src/steady-reader.ts';

/** How long PostgreSQL stays away: CHAOS_SECONDS=120 is what we promise, and what a test of every day has no time for. */
const AWAY_MS = Number(process.env.CHAOS_SECONDS ?? 20) * 1_000;
/** Some of each wire at each replica. */
const TALKERS = 12;
const LISTENERS = 8;
/** Little enough for the sixty frames that a socket may send in half a minute. */
const BETWEEN_MS = 650;

/** One broadcast and its room, with people who talk all the time: each test goes on where the last one stopped. */
describe('two replicas of the api, and people who talk while something breaks', () => {
  const closing: (() => Promise<unknown> | void)[] = [];
  let replicas: ApiReplicas;
  let streamer: Account;
  let stream: Stream;
  let encoder: Program;
  let video: LlHlsReader;
  let readers: [SteadyReader, SteadyReader];
  let talkers: ChatClient[] = [];
  let everybody: ChatClient[] = [];
  let talking: Promise<void>[] = [];
  let isSilent = false;

  beforeAll(async () => {
    replicas = await ApiReplicas.start({ ...BEHIND_A_PROXY, CAUDAL_LADDER: 'none' });
    closing.push(() => replicas.stop());
    const [base] = replicas.bases;
    streamer = await register(base, 'marea');
    encoder = encode(`${streamer.rtmpUrl}/${streamer.streamKey}`, { size: '320x180', bitrate: '300k' });
    closing.push(() => encoder.stop('SIGKILL'));
    stream = await until('she is live', async () => (await api<Stream[]>(base, 'GET', '/api/streams'))[0]);
    video = new LlHlsReader(stream.streamUrl);
    closing.push(() => video.stop());
    const enter = (number: number, token?: string) => {
      const replica = number % 2;
      return number % 4 < 2
        ? new RawChatClient(replicas.bases, replica, stream.id, token)
        : new SocketIoChatClient(replicas.bases[replica] ?? base, stream.id, token);
    };
    for (let number = 0; number < TALKERS; number += 1) {
      const { accessToken } = await register(base, `talker${number}`, `10.0.0.${number + 1}`);
      const { id } = await api<{ id: string }>(base, 'GET', '/api/users/me', { token: accessToken });
      // Who keeps order may talk faster.
      await api(base, 'PUT', `/api/chat/${stream.id}/moderators/${id}`, { token: streamer.accessToken });
      talkers.push(enter(number, accessToken));
    }
    everybody = [...talkers, ...Array.from({ length: LISTENERS }, (_, number) => enter(number))];
    closing.push(() => everybody.forEach((one) => one.close()));
    talking = talkers.map(async (talker, number) => {
      for (let count = 0; !isSilent; count += 1) {
        const [text] = await Promise.all([`${number}: ${count}`, passed(BETWEEN_MS)]);
        await talker.says(text, `${number}-${count}`);
      }
    });
    const paths = ['/api/streams', `/api/streams/${stream.id}`, `/api/users/${stream.user.id}`, `/api/chat/${stream.id}`];
    readers = [new SteadyReader(replicas.bases[0], paths), new SteadyReader(replicas.bases[1], paths)];
    closing.push(() => Promise.all(readers.map((reader) => reader.stop())));
  });

  afterAll(async () => {
    isSilent = true;
    for (const close of closing.reverse()) await close();
  });

  /** Each of them has said two things more, of which the second began after this did, and everybody hears it. */
  async function talkGoesOn(what: string, who: ChatClient[] = talkers): Promise<void> {
    const before = new Map(who.map((one) => [one, one.accepted.length]));
    const silent = () => who.filter((one) => one.accepted.length < (before.get(one) ?? 0) + 2);
    await until(`${what}: talk goes on`, () => silent().length === 0, 60_000).catch((error: unknown) => {
      const why = silent().map((one) => `${one.constructor.name} at ${one.base}: ${one.refusal}, sent away: ${one.endings.join(', ')}`);
      throw new Error(`${String(error)}\n${why.join('\n')}`);
    });
  }

  async function videoGoesOn(what: string): Promise<void> {
    const { msn } = video;
    await until(`${what}: two segments later`, () => video.msn >= msn + 2);
    expect(video.troubles, what).toEqual([]);
    expect(video.seams, what).toEqual([]);
  }

  test('everybody talks and hears, over both wires and at both replicas', async () => {
    await talkGoesOn('at the beginning');
    await videoGoesOn('at the beginning');
    expect(readers.flatMap((reader) => reader.refused(0))).toEqual([]);
  });

  test.each([0, 1] as const)('replica %i is killed under load, and starts again', async (killed) => {
    const began = Date.now();
    const [gone, other] = killed === 0 ? readers : [readers[1], readers[0]];
    await replicas.kill(killed);
    // The official client stays with its replica, as behind a load balancer that has not noticed.
    await talkGoesOn('a replica is away', talkers.filter((one) => one instanceof RawChatClient || one.base !== replicas.bases[killed]));
    await videoGoesOn('a replica is away');
    await replicas.startAgain(killed);
    const back = Date.now();
    await talkGoesOn('it is back');
    expect(other.refused(began)).toEqual([]);
    expect(gone.refused(back)).toEqual([]);
  });

  test('Redis is killed, and starts again: nothing can be said meanwhile, and all else goes on', async () => {
    const began = Date.now();
    await replicas.redis.kill();
    await videoGoesOn('Redis is away');
    const counts = talkers.map(({ accepted }) => accepted.length);
    await until('everything was read meanwhile', () => readers.every(({ reads }) => reads.filter(({ at }) => at > began).length > 8));
    expect(talkers.map(({ accepted }) => accepted.length), 'what cannot be safe is not accepted').toEqual(counts);
    await replicas.redis.startAgain();
    await talkGoesOn('Redis is back');
    expect(readers.flatMap((reader) => reader.refused(began))).toEqual([]);
  });

  test('PostgreSQL is stopped, and starts again: people go on talking all that time', async () => {
    const began = Date.now();
    const giveBack = await replicas.takePostgresAway();
    for (let round = 1; Date.now() - began < AWAY_MS; round += 1) {
      await talkGoesOn(`PostgreSQL is away, ${round}`);
      await videoGoesOn(`PostgreSQL is away, ${round}`);
    }
    await giveBack();
    const back = Date.now();
    await talkGoesOn('PostgreSQL is back');
    const asked = () => readers.map(({ reads }) => reads.filter(({ at }) => at > back).length);
    await until('everything was read since', () => asked().every((count) => count > 8));
    expect(readers.flatMap((reader) => reader.refused(began))).toEqual([]);
  }, AWAY_MS + 120_000);

  test('nothing that was accepted is lost or doubled, for whoever stayed and for whoever reads the history', async () => {
    isSilent = true;
    await Promise.all(talking);
    const accepted = talkers.flatMap((talker) => talker.accepted);
    expect(accepted.length).toBeGreaterThan(TALKERS * 10);
    const ids = [...new Set(accepted.map(({ id }) => id))].sort();
    expect(ids.length, 'each answer is of another message').toBe(accepted.length);
    // Whose answer was lost was said again under its name, so everything that anybody heard was accepted in the end.
    for (const [number, one] of everybody.entries()) {
      await until(`${number} knows everything`, () => one.record.lines.size >= ids.length, 20_000);
      expect([...one.record.lines.keys()].sort(), `${number}`).toEqual(ids);
      expect(one.record.faults, `${number}`).toEqual([]);
    }
    const count = () => query(replicas.roles.databaseUrl, `select count(*) || ' ' || count(distinct id) || ' ' || count(distinct (epoch, sequence)) from chat_messages where stream_id = '${stream.id}'`);
    await until('PostgreSQL has it all', () => count() === `${ids.length} ${ids.length} ${ids.length}`);
    const [here, there] = [await history(replicas.bases[0], stream.id), await history(replicas.bases[1], stream.id)];
    expect(here).toEqual(there);
    expect(here.map(({ id }) => id).sort()).toEqual(ids);
    expect(new Set(here.map(({ message }) => message)).size).toBe(here.length);
    // Redis has kept its word, so nobody had to begin anew.
    expect(new Set(here.map(({ epoch }) => epoch)).size).toBe(1);
    expect(everybody.map(({ record }) => record.unrecovered)).toEqual(everybody.map(() => 0));
    expect(everybody.filter(({ record }) => record.resumed > 0).length).toBeGreaterThanOrEqual(everybody.length / 2);
    expect(video.lost).toEqual([]);
  });
});
