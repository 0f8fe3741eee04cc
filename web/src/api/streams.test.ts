import { describe, expect, it } from 'vitest';
import type { Page, Session } from './session.ts';
import { liveStreams, PAGE, type Stream } from './streams.ts';

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
});
