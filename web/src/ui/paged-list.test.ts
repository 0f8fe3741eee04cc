import { describe, expect, it } from 'vitest';
import { PAGE } from '../api/pages.ts';
import type { Page } from '../api/session.ts';
import { PagedList } from './paged-list.svelte.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

/** An api with so many entries, which answers when it is told to. */
function listing(all: number[]) {
  const asked: { count: number; answer: () => void; refuse: () => void }[] = [];
  const list = new PagedList<number>(
    (count) =>
      new Promise<Page<number>>((resolve, reject) => {
        const items = all.slice(0, count);
        const next = items.length < all.length ? '/next' : null;
        asked.push({
          count,
          answer: () => resolve({ items, next }),
          refuse: () => reject(new Error('away')),
        });
      }),
  );
  return { list, asked };
}

describe('a paged list', () => {
  it('knows nothing, then one page, then more', async () => {
    const { list, asked } = listing(numbers(30));
    expect(list.items).toBeNull();
    const first = list.refresh();
    asked[0]?.answer();
    await first;
    expect(list.items).toHaveLength(PAGE);
    expect(list.hasMore).toBe(true);
    const more = list.more();
    expect(list.growing).toBe(true);
    asked[1]?.answer();
    await more;
    expect(list.items).toHaveLength(30);
    expect(list.hasMore).toBe(false);
    expect(list.growing).toBe(false);
  });

  it('asks once for more, however often somebody presses', async () => {
    const { list, asked } = listing(numbers(30));
    void list.more();
    void list.more();
    expect(asked).toHaveLength(1);
  });

  it('is not set back by an answer that a newer one has overtaken', async () => {
    const all = numbers(30);
    const { list, asked } = listing(all);
    const slow = list.refresh();
    const more = list.more();
    asked[1]?.answer();
    await more;
    asked[0]?.answer();
    await slow;
    expect(list.items).toHaveLength(PAGE);
    const grown = list.more();
    const refreshed = list.refresh();
    asked[3]?.answer();
    asked[2]?.refuse();
    await Promise.all([grown, refreshed]);
    expect(list.items).toHaveLength(30);
    expect(list.error).toBeNull();
  });

  it('keeps what it has when a request fails, and forgets the failure with the next answer', async () => {
    const { list, asked } = listing(numbers(3));
    const first = list.refresh();
    asked[0]?.answer();
    await first;
    const second = list.refresh();
    asked[1]?.refuse();
    await second;
    expect(list.items).toHaveLength(3);
    expect(list.error).toEqual(new Error('away'));
    const third = list.refresh();
    asked[2]?.answer();
    await third;
    expect(list.error).toBeNull();
  });

  it('is empty only when the api has said so', async () => {
    const { list, asked } = listing([]);
    expect(list.isEmpty).toBe(false);
    const first = list.refresh();
    asked[0]?.answer();
    await first;
    expect(list.isEmpty).toBe(true);
  });
});
