import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { poll } from './polling.ts';

describe('polling', () => {
  let page: EventTarget & { hidden: boolean };
  let end: (() => void) | undefined;

  beforeEach(() => {
    vi.useFakeTimers();
    page = Object.assign(new EventTarget(), { hidden: false });
    vi.stubGlobal('document', page);
  });
  afterEach(() => {
    end?.();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  function begin(delay: number | null, pause?: number) {
    const task = vi.fn(async () => undefined);
    end = poll(task, () => delay, pause);
    return task;
  }
  const show = (shown: boolean) => {
    page.hidden = !shown;
    page.dispatchEvent(new Event('visibilitychange'));
  };
  const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  it('asks at once, and then after each delay', async () => {
    const task = begin(1000);
    await wait(2500);
    expect(task).toHaveBeenCalledTimes(3);
  });

  it('rests while the page is hidden, and goes on at once when it is shown', async () => {
    const task = begin(1000);
    await wait(100);
    show(false);
    await wait(9000);
    expect(task).toHaveBeenCalledTimes(1);
    show(true);
    expect(task).toHaveBeenCalledTimes(2);
  });

  it('without a delay asks only when the page is shown again', async () => {
    const task = begin(null);
    await wait(3_600_000);
    expect(task).toHaveBeenCalledTimes(1);
    show(false);
    show(true);
    expect(task).toHaveBeenCalledTimes(2);
  });

  it('keeps its pause, however often somebody looks away and back', async () => {
    const task = begin(null, 10_000);
    for (let looks = 0; looks < 20; looks += 1) {
      show(false);
      show(true);
      await wait(100);
    }
    expect(task).toHaveBeenCalledTimes(1);
    await wait(8_000);
    expect(task).toHaveBeenCalledTimes(2);
  });

  it('ends when it is told to, also in its pause', async () => {
    const task = begin(null, 10_000);
    await wait(100);
    show(false);
    show(true);
    end?.();
    await wait(60_000);
    expect(task).toHaveBeenCalledTimes(1);
  });
});
