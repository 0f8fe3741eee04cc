/**
 * Calls `woken` when the page goes on that the browser had frozen or put aside (a laptop asleep, a tab that nobody looked
 * at, a way back in the history), if `video` played before. The browser pauses it then, and never undoes that.
 */
export function watchSleep(video: HTMLVideoElement, woken: () => void, signal: AbortSignal): void {
  let played = false;
  const asleep = () => {
    // Both events may come, and with the second one it is paused already.
    played ||= !video.paused;
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
