/** `AbortSignal.timeout`, which Chrome has since 103 and Safari since 16; `met` ends the wait. */
export function deadline(ms: number): { signal: AbortSignal; met: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ms);
  return { signal: controller.signal, met: () => clearTimeout(timer) };
}
