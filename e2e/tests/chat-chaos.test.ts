import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { api, register } from '../src/account.ts';
import { ApiReplicas } from '../src/api-replicas.ts';
import { ChatClient } from '../src/chat-client.ts';
import { until } from '../src/process.ts';

/** How long what was broken stays so: CHAOS_SECONDS=120 is what we promise, and what CI has no time for. */
const BROKEN_MS = Number(process.env.CHAOS_SECONDS ?? 10) * 1000;
const TALKERS = 8;
const LISTENERS = 12;

/** Two replicas, and people who talk without a pause: whatever breaks, what was accepted is there once, for everybody. */
describe('chat in bad times', () => {
  let replicas: ApiReplicas;
  let tokens: string[];

  beforeAll(async () => {
    replicas = await ApiReplicas.start(2);
    tokens = [];
    for (let number = 0; number < TALKERS; number += 1) {
      tokens.push((await register(replicas.urls[0] ?? '', `talker${number}`)).accessToken);
    }
  });

  afterAll(() => replicas?.stop());

  /** People in a room of their own, talking while `breaks` breaks things and mends them. */
  async function chatter(streamer: string, breaks: (room: Room) => Promise<void>): Promise<Room> {
    const owner = await register(replicas.urls[0] ?? '', streamer);
    const stream = await api<{ id: string }>(replicas.urls[0] ?? '', 'POST', '/api/streams', {
      token: owner.accessToken,
      body: { title: 'Chaos' },
    });
    const enter = (number: number, token?: string) => new ChatClient(replicas.urls, number, stream.id, token);
    const talkers = tokens.map((token, number) => enter(number, token));
    const people = [...talkers, ...Array.from({ length: LISTENERS }, (_, number) => enter(number))];
    const room = { stream: stream.id, people };
    let over = false;
    const talking = talkers.map(async (talker, number) => {
      for (let count = 0; !over; count += 1) await talker.says(`${number}: ${count}`, `${streamer}-${number}-${count}`);
    });
    try {
      await breaks(room);
    } finally {
      over = true;
    }
    await Promise.all(talking);
    return room;
  }

  /** Everybody has everything, and once; so has the history. */
  async function nothingIsLost({ stream, people }: Room): Promise<void> {
    const accepted = people.flatMap((one) => one.accepted).sort();
    expect(accepted.length).toBeGreaterThan(TALKERS * 3);
    expect(new Set(accepted).size).toBe(accepted.length);
    for (const [number, one] of people.entries()) {
      await until(`${number} has heard all`, () => one.heard.length >= accepted.length, 20_000);
      // Something may have been said whose answer never arrived; then it was said again under the same name.
      expect([...one.heard].sort(), `${number}`).toEqual(accepted);
      one.close();
    }
    for (const base of replicas.urls) {
      await until('the history has all', async () => (await history(base, stream)).length >= accepted.length, 30_000);
      expect((await history(base, stream)).sort()).toEqual(accepted);
    }
  }

  async function history(base: string, stream: string): Promise<string[]> {
    const texts: string[] = [];
    let next: string | undefined = `/api/chat/${stream}?limit=100`;
    while (next) {
      const answer: Response = await fetch(base + next);
      for (const { message } of (await answer.json()) as { message: string }[]) texts.push(message);
      next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    return texts;
  }

  const said = ({ people }: Room) => people.reduce((sum, one) => sum + one.accepted.length, 0);
  const goesOn = async (room: Room) => {
    const before = said(room);
    await until('people are heard', () => said(room) > before + TALKERS, 60_000);
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  test('goes on where it was when a replica is killed', async () => {
    const room = await chatter('marea', async (running) => {
      await goesOn(running);
      await replicas.kill(0);
      await goesOn(running);
      await replicas.run(0);
      await replicas.kill(1);
      await goesOn(running);
      await replicas.run(1);
    });
    await nothingIsLost(room);
    expect(room.people.filter(({ returns }) => returns > 0).length).toBeGreaterThan(LISTENERS);
    expect(room.people.map(({ unrecovered }) => unrecovered)).toEqual(room.people.map(() => 0));
  }, 180_000);

  test('keeps what was accepted when Redis is killed, while lists are read as ever', async () => {
    const room = await chatter('ola', async (running) => {
      await goesOn(running);
      await replicas.killRedis();
      for (const until = Date.now() + BROKEN_MS; Date.now() < until; await pause(500)) {
        for (const base of replicas.urls) expect((await fetch(`${base}/api/streams`)).status).toBe(200);
      }
      await replicas.startRedis();
      await goesOn(running);
    });
    await nothingIsLost(room);
  }, 180_000 + BROKEN_MS);

  test('is heard while PostgreSQL is away, and written down when it is back', async () => {
    const room = await chatter('brisa', async (running) => {
      await goesOn(running);
      replicas.cutPostgresOff();
      await goesOn(running);
      await pause(BROKEN_MS);
      await goesOn(running);
      replicas.mendPostgres();
      await goesOn(running);
    });
    await nothingIsLost(room);
  }, 180_000 + BROKEN_MS);
});

interface Room {
  stream: string;
  people: ChatClient[];
}
