import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';

import { api, fresh, register, type Account, type Stream } from '../src/account.ts';
import { Platform } from '../src/platform.ts';
import { until } from '../src/process.ts';

interface Message {
  epoch: number;
  offset: number;
  id: string;
  streamId: string;
  user: { username: string };
  message: string;
}

type Answer = { ok: true; message?: Message } | { ok: false; code: string; detail: string };

interface Joined {
  ok: true;
  epoch: number;
  offset: number;
  recovered: boolean;
  viewerCount: number;
  messages: Message[];
}

/** What programs with the official client see of chat. */
describe('Socket.IO', () => {
  let platform: Platform;
  let marea: Account;
  let stream: Stream;
  let clients: Socket[] = [];

  beforeAll(async () => {
    platform = await Platform.start({ CAUDAL_LADDER: 'none' });
    marea = await register(platform.web, 'marea');
    stream = await api<Stream>(platform.web, 'POST', '/api/streams', {
      token: marea.accessToken,
      body: { title: 'Songs from the harbour', description: '' },
    });
  });

  afterEach(() => {
    for (const client of clients) client.disconnect();
    clients = [];
  });

  afterAll(async () => {
    await platform?.stop();
  });

  /** A client in the room, with what it was told there. */
  async function enter(options: Partial<ManagerOptions & SocketOptions> = {}): Promise<{ client: Socket; joined: Joined; heard: Message[] }> {
    // By itself a second client of the same page would share the first one's connection.
    const client = io(platform.web, { forceNew: true, ...options });
    clients.push(client);
    const heard: Message[] = [];
    client.on('new_message', (message: Message) => heard.push(message));
    const joined = (await client.timeout(10_000).emitWithAck('join_stream', stream.id)) as Joined;
    expect(joined).toMatchObject({ ok: true, recovered: false });
    return { client, joined, heard };
  }

  async function say(client: Socket, message: string): Promise<Message> {
    const answer = (await client.timeout(10_000).emitWithAck('send_message', { streamId: stream.id, message })) as Answer;
    if (!answer.ok || !answer.message) throw new Error(JSON.stringify(answer));
    return answer.message;
  }

  /** A plain WebSocket in the same room. */
  async function listen(): Promise<{ heard: Message[]; close: () => void }> {
    const socket = new WebSocket(`${platform.web.replace('http', 'ws')}/ws/chat/${stream.id}`);
    const heard: Message[] = [];
    const joined = new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (text: Buffer) => {
        const frame = JSON.parse(text.toString()) as { event: string; data: Message };
        if (frame.event === 'joined') resolve();
        if (frame.event === 'new_message') heard.push(frame.data);
      });
    });
    await joined;
    return { heard, close: () => socket.close() };
  }

  test.each([
    ['as it comes', {}],
    ['over WebSockets alone', { transports: ['websocket'] }],
    ['by polling alone', { transports: ['polling'] }],
  ])('a client %s talks and hears in the same room as a plain WebSocket', async (_, options) => {
    const talks = await register(platform.web, fresh('ana'));
    const plain = await listen();
    const ana = await enter({ ...options, auth: { token: talks.accessToken } });
    const other = await enter();
    const said = await say(ana.client, `¡Hola! ${talks.username}`);
    expect(said).toMatchObject({ message: `¡Hola! ${talks.username}`, user: { username: talks.username } });
    await until('everybody else has heard it', () => other.heard.length === 1 && plain.heard.length === 1);
    expect([other.heard, plain.heard, ana.heard]).toEqual([[said], [said], []]);
    const removed = new Promise((resolve) => other.client.once('message_deleted', resolve));
    expect(await ana.client.timeout(10_000).emitWithAck('delete_message', { streamId: stream.id, id: said.id })).toEqual({ ok: true });
    expect(await removed).toMatchObject({ id: said.id, streamId: stream.id });
    plain.close();
  });

  test('a client that begins as it comes ends up with a WebSocket', async () => {
    const { client } = await enter();
    await until('it has changed', () => client.io.engine.transport.name === 'websocket');
    expect(await client.timeout(10_000).emitWithAck('ping', {})).toEqual({ ok: true });
  });

  test('a client that was away comes back by itself and hears what it missed', async () => {
    const talks = await register(platform.web, fresh('bob'));
    const bob = await enter({ auth: { token: talks.accessToken } });
    const listener = await enter({ reconnectionDelay: 500, reconnectionDelayMax: 500 });
    const first = await say(bob.client, 'before');
    await until('it was heard', () => listener.heard.length === 1);
    const back = new Promise<void>((resolve) => listener.client.once('connect', () => resolve()));
    // As a network does it that is gone.
    listener.client.io.engine.close();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const missed = await say(bob.client, 'meanwhile');
    await back;
    const since = `${first.epoch}.${first.offset}`;
    const joined = (await listener.client.timeout(10_000).emitWithAck('join_stream', { streamId: stream.id, since })) as Joined;
    expect(joined).toMatchObject({ ok: true, recovered: true, messages: [] });
    await until('it was told', () => listener.heard.length === 2);
    expect(listener.heard).toEqual([first, missed]);
  });

  test('what is refused is said, with a callback and without', async () => {
    const { client } = await enter({ auth: { token: 'x' } });
    const refused = await client.timeout(10_000).emitWithAck('send_message', { streamId: stream.id, message: 'hola' });
    expect(refused).toMatchObject({ ok: false, code: 'unauthenticated' });
    const error = new Promise((resolve) => client.once('error', resolve));
    client.emit('send_message', { streamId: stream.id, message: 'hola' });
    expect(await error).toMatchObject({ code: 'unauthenticated' });
  });
});
