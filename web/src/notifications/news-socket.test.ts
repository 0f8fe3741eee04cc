import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NewsSocket, type Wire } from './news-socket.ts';

class FakeWire implements Wire {
  onopen: Wire['onopen'] = null;
  onmessage: Wire['onmessage'] = null;
  onclose: Wire['onclose'] = null;
  readonly sent: { event: string; data: Record<string, unknown>; id: string }[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as (typeof this.sent)[number]);
  }
  close(): void {
    this.closed = true;
  }
  says(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) } as MessageEvent<unknown>);
  }
}

const NEWS = { id: 'n-1', type: 'new_follower', user: { id: 'u', username: 'ana' }, read: false };

describe('NewsSocket', () => {
  let wires: FakeWire[];
  let told: string[];
  let listening: number;
  let rejections: (string | null)[];
  let socket: NewsSocket;
  const last = () => wires.at(-1) as FakeWire;

  beforeEach(() => {
    vi.useFakeTimers();
    [wires, told, listening, rejections] = [[], [], 0, []];
    socket = new NewsSocket({
      open: () => {
        wires.push(new FakeWire());
        return last();
      },
      token: (rejected) => {
        rejections.push(rejected);
        return Promise.resolve({ value: `token ${rejections.length}`, renewAt: Date.now() + 60_000 });
      },
      listening: () => (listening += 1),
      told: ({ id }) => told.push(id),
    });
  });

  afterEach(() => {
    socket.stop();
    vi.useRealTimers();
  });

  async function listens(): Promise<void> {
    last().onopen?.(new Event('open'));
    await vi.advanceTimersByTimeAsync(0);
    last().says({ event: 'ack', id: 'who', data: { ok: true } });
    last().says({ event: 'ack', id: 'what', data: { ok: true } });
  }

  it('says who listens, and to whom, and then hears', async () => {
    socket.start();
    socket.start();
    expect(wires).toHaveLength(1);
    await listens();
    expect(last().sent.map(({ event }) => event)).toEqual(['authenticate', 'subscribe_notifications']);
    expect(listening).toBe(1);
    last().says({ event: 'notification', data: NEWS });
    last().says({ event: 'notification', data: { id: 7 } });
    last().says({ event: 'dance', data: {} });
    expect(told).toEqual(['n-1']);
  });

  it('authenticates again before the token ends', async () => {
    socket.start();
    await listens();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(last().sent.map(({ data }) => data['token'])).toEqual(['token 1', undefined, 'token 2']);
    expect(wires).toHaveLength(1);
  });

  it('comes back when it is cut off, later each time, and at once after it was heard', async () => {
    socket.start();
    await listens();
    last().onclose?.({ code: 1006 } as CloseEvent);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(wires).toHaveLength(2);
    for (let times = 0; times < 20; times += 1) {
      last().onclose?.({ code: 1006 } as CloseEvent);
      await vi.advanceTimersByTimeAsync(30_000);
    }
    expect(wires.length).toBeGreaterThan(15);
    await listens();
    expect(listening).toBe(2);
  });

  it.each(['token_expired', 'session_revoked'])('asks for another token after %s', async (code) => {
    socket.start();
    last().onopen?.(new Event('open'));
    await vi.advanceTimersByTimeAsync(0);
    last().says({ event: 'ack', id: 'who', data: { ok: false, code } });
    await vi.advanceTimersByTimeAsync(1_000);
    last().onopen?.(new Event('open'));
    await vi.advanceTimersByTimeAsync(0);
    expect(rejections).toEqual([null, 'token 1']);
  });

  it('gives a server up that does not answer', async () => {
    socket.start();
    await vi.advanceTimersByTimeAsync(22_000);
    expect(wires[0]?.closed).toBe(true);
    expect(wires).toHaveLength(2);
  });

  it('stays away once it is stopped', async () => {
    socket.start();
    await listens();
    socket.stop();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(wires).toHaveLength(1);
    expect(wires[0]?.closed).toBe(true);
  });
});
