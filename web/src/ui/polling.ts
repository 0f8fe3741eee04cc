/**
 * Calls `task` again and again, `delay()` milliseconds after it finished (`null`: not before the page is shown again);
 * while the page is hidden it rests, and goes on at once when it is shown, but not within `pause` milliseconds of the
 * last call. Returns the function that ends it.
 */
export function poll(task: () => Promise<void>, delay: () => number | null, pause = 0): () => void {
  let ended = false;
  let running = false;
  let askedAt = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const run = async () => {
    clearTimeout(timer);
    if (ended || running) return;
    running = true;
    askedAt = performance.now();
    try {
      await task();
    } catch {
      // The task shows its own errors; the next round comes anyway.
    }
    running = false;
    const ms = delay();
    if (ms !== null) runIn(ms);
  };
  const runIn = (ms: number) => {
    clearTimeout(timer);
    if (!ended) timer = setTimeout(() => void (document.hidden ? undefined : run()), ms);
  };
  const shown = () => {
    if (document.hidden || running) return;
    const left = askedAt + pause - performance.now();
    if (left > 0) runIn(left);
    else void run();
  };
  document.addEventListener('visibilitychange', shown);
  void run();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', shown);
  };
}
