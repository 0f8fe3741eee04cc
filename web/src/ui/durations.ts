/** How long ago, in the fewest words: `12 min`, `1 h 05 min`. */
export function elapsed(since: string | null, now: number): string {
  if (since === null) return '';
  const minutes = Math.floor((now - Date.parse(since)) / 60_000);
  if (!Number.isFinite(minutes)) return '';
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long something lasted: `12 min`; empty while it is not over. */
export function lasted(from: string | null, to: string | null): string {
  if (to === null) return '';
  const length = elapsed(from, Date.parse(to));
  return length === 'just now' ? 'under a minute' : length;
}

/** `0:07`, `12:40`, `1:05:09`. */
export function clock(since: string | null, now: number): string {
  if (since === null) return '';
  const total = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  if (!Number.isFinite(total)) return '';
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(total / 60) % 60;
  const hours = Math.floor(total / 3600);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
}

/** `1 viewer`, `1,204 viewers`. */
export function viewers(count: number): string {
  return `${count.toLocaleString('en')} ${count === 1 ? 'viewer' : 'viewers'}`;
}

/** `1 follower`, `1,204 followers`. */
export function followers(count: number): string {
  return `${count.toLocaleString('en')} ${count === 1 ? 'follower' : 'followers'}`;
}
