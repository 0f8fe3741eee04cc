/**
 * Calls `woken` when the page goes on that the browser had frozen or put aside (a laptop asleep, a tab that nobody looked
 * at, a way back in the history), if `playing` was true before. The browser pauses what plays then, and never undoes it.
 */
export function watchSleep(playing: () => boolean, woken: () => void, signal: AbortSignal): void {
  let played = false;
  const asleep = () => {
    // Both events may come, and with the second one it is paused already.
    played ||= playing();
  };
  const awake = () => {
    if (!played) return;
    played = false;
    woken();
  };
  document.addEventListener('freeze', asleep, { signal });
  document.addEventListener('resume', awake, { signal });
  window.addEventListener('pagehide', asleep, { signal });
  window.addEventListener('pageshow', awake, { signal });
}
