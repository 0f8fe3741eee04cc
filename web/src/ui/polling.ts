/**
 * Calls `task` again and again, `delay()` milliseconds after it finished; while the page is hidden it rests, and
 * goes on at once when it is shown again. Returns the function that ends it.
 */
export function poll(task: () => Promise<void>, delay: () => number): () => void {
  let ended = false;
  let running = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const run = async () => {
    clearTimeout(timer);
    if (ended || running) return;
    running = true;
    try {
      await task();
    } catch {
      // The task shows its own errors; the next round comes anyway.
    }
    running = false;
    if (!ended) timer = setTimeout(() => void (document.hidden ? undefined : run()), delay());
  };
  const shown = () => {
    if (!document.hidden) void run();
  };
  document.addEventListener('visibilitychange', shown);
  void run();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', shown);
  };
}
