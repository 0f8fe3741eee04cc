import { describe, expect, it } from 'vitest';
import { ApiProblem } from './problem.ts';
import { PAGE } from './pages.ts';
import type { Page, Session } from './session.ts';
import {
  categoryStreams,
  channelStreams,
  liveStreams,
  saveStream,
  sayWatching,
  type Stream,
} from './streams.ts';

/** An api that lists so many streams, the most watched first. */
function listing(ids: string[]) {
  const asked: string[] = [];
  const session = {
    page: async (path: string): Promise<Page<Stream>> => {
      asked.push(path);
      const { searchParams } = new URL(path, 'http://api');
      const [from, limit] = [Number(searchParams.get('cursor') ?? 0), Number(searchParams.get('limit'))];
      const items = ids.slice(from, from + limit).map((id) => ({ id }) as Stream);
      const after = from + limit;
      return { items, next: after < ids.length ? `/api/streams?limit=${limit}&cursor=${after}` : null };
    },
  } as unknown as Session;
  return { session, asked };
}

const many = (count: number) => Array.from({ length: count }, (_, n) => `s${n}`);

describe('the streams that are live', () => {
  it('come page by page', async () => {
    const { session, asked } = listing(many(50));
    const page = await liveStreams(session);
    expect(page.items).toHaveLength(PAGE);
    expect(page.next).not.toBeNull();
    expect(asked).toHaveLength(1);
  });

  it('are all asked for again after “Show more”, so that what has ended is gone from any page', async () => {
    const ids = many(50);
    const { session } = listing(ids);
    const before = await liveStreams(session, 40);
    expect(before.items.map(({ id }) => id)).toContain('s30');
    ids.splice(30, 1);
    const after = await liveStreams(session, 40);
    expect(after.items.map(({ id }) => id)).not.toContain('s30');
    expect(after.items).toHaveLength(40);
  });

  it('are asked for in as few requests as the api allows', async () => {
    const { session, asked } = listing(many(500));
    const page = await liveStreams(session, 250);
    expect(page.items.length).toBeGreaterThanOrEqual(250);
    expect(asked).toHaveLength(3);
  });

  it('are listed once, though they overtake each other between two pages', async () => {
    const { session } = listing(['a', 'b', ...many(99), 'a']);
    const page = await liveStreams(session, 102);
    expect(page.items.filter(({ id }) => id === 'a')).toHaveLength(1);
    expect(page.next).toBeNull();
  });

  it('offer no more pages than a refresh would ask for', async () => {
    const { session, asked } = listing(many(1500));
    const page = await liveStreams(session, 1100);
    expect(page.items).toHaveLength(1000);
    expect(page.next).toBeNull();
    expect(asked).toHaveLength(10);
  });

  it('are chosen by category, language and person', async () => {
    const { session, asked } = listing([]);
    await categoryStreams(session, 'rock & roll', { language: 'pt-BR', sort: 'recent' });
    await categoryStreams(session, 'art', { language: null, sort: 'viewers' });
    await channelStreams(session, 'u1', 'past');
    expect(asked).toEqual([
      '/api/categories/rock%20%26%20roll/streams?sort=recent&language=pt-BR&limit=20',
      '/api/categories/art/streams?sort=viewers&limit=20',
      '/api/users/u1/streams?live=false&limit=20',
    ]);
  });
});

describe('what a streamer saves about their stream', () => {
  const fields = { title: 'Morning', description: 'Coffee', categoryIds: ['c1'], language: null };

  /** An api for which the encoder was faster: the account has an open stream already. */
  function opened(meanwhile: (session: { account: { id: string } }) => void = () => undefined) {
    const asked: string[] = [];
    const session = {
      account: { id: 'u1' },
      request: async (path: string, { method = 'GET' } = {}) => {
        asked.push(`${method} ${path}`);
        if (method !== 'POST') return { id: `s-of-${session.account.id}` };
        meanwhile(session);
        throw new ApiProblem(409, 'stream_open', 'There is one.');
      },
    };
    return { session: session as unknown as Session, asked };
  }

  it('goes to the stream that is open', async () => {
    const { session, asked } = opened();
    await saveStream(session, { id: 's1' } as Stream, fields);
    expect(asked).toEqual(['PATCH /api/streams/s1']);
  });

  it('clears the language of an open stream, and leaves it out of a new one', async () => {
    const bodies: unknown[] = [];
    const session = {
      account: { id: 'u1' },
      request: async (_: string, { body }: { body: unknown }) => void bodies.push(body),
    } as unknown as Session;
    await saveStream(session, { id: 's1' } as Stream, fields);
    await saveStream(session, null, fields);
    await saveStream(session, null, { ...fields, language: 'es' });
    expect(bodies).toEqual([
      fields,
      { title: 'Morning', description: 'Coffee', categoryIds: ['c1'] },
      { ...fields, language: 'es' },
    ]);
  });

  it('goes to the stream that the encoder has just opened', async () => {
    const { session, asked } = opened();
    await saveStream(session, null, fields);
    expect(asked.at(-1)).toBe('PATCH /api/streams/s-of-u1');
  });

  it('never goes to the stream of somebody else who has logged in since', async () => {
    const { session, asked } = opened((current) => (current.account = { id: 'u2' }));
    await expect(saveStream(session, null, fields)).rejects.toMatchObject({ code: 'stream_open' });
    expect(asked).toEqual(['POST /api/streams']);
  });
});

it('says what is on the screen, where something plays live', async () => {
  const said: unknown[] = [];
  const session = {
    token: async () => null,
    request: async (path: string, options: object) => void said.push([path, options]),
  } as unknown as Session;
  await sayWatching(session, 's1', '2026-11-30T18:04:05.678Z');
  await sayWatching(session, 's1', null);
  expect(said).toEqual([
    ['/api/streams/s1/watching', { method: 'POST', body: { playhead: '2026-11-30T18:04:05.678Z' } }],
    ['/api/streams/s1/watching', { method: 'POST' }],
  ]);
});
