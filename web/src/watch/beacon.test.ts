import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { beacon } from './beacon.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it('is told twice a minute for as long as it is needed, and goes on when one fails', () => {
  let needed = true;
  const say = vi.fn(() => Promise.reject(new Error('away')));
  const end = beacon(say, () => needed);
  expect(say).not.toHaveBeenCalled();
  vi.advanceTimersByTime(65_000);
  expect(say).toHaveBeenCalledTimes(3);
  needed = false;
  vi.advanceTimersByTime(300_000);
  expect(say).toHaveBeenCalledTimes(3);
  needed = true;
  vi.advanceTimersByTime(30_000);
  expect(say).toHaveBeenCalledTimes(4);
  end();
  vi.advanceTimersByTime(300_000);
  expect(say).toHaveBeenCalledTimes(4);
});
