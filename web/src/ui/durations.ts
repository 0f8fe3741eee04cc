import { t } from '../language/text.ts';

/** How long ago, in the fewest words: `12 min`, `1 h 05 min`. */
export function elapsed(since: string | null, now: number): string {
  const minutes = minutesSince(since, now);
  if (minutes === null) return '';
  if (minutes < 1) return t('count.justNow');
  if (minutes < 60) return t('count.minutes', { minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return t('count.hours', { hours, minutes: String(minutes % 60).padStart(2, '0') });
  return t('count.days', { days: Math.floor(hours / 24), hours: hours % 24 });
}

/** Less than a minute ago: too little to say how long. */
export function hasJustBegun(since: string | null, now: number): boolean {
  const minutes = minutesSince(since, now);
  return minutes !== null && minutes < 1;
}

/** How long something lasted: `12 min`; empty while it is not over. */
export function lasted(from: string | null, to: string | null): string {
  if (to === null) return '';
  const end = Date.parse(to);
  return hasJustBegun(from, end) ? t('count.underAMinute') : elapsed(from, end);
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
  return t('count.viewers', { count });
}

/** `1 follower`, `1,204 followers`. */
export function followers(count: number): string {
  return t('count.followers', { count });
}

function minutesSince(since: string | null, now: number): number | null {
  if (since === null) return null;
  const minutes = Math.floor((now - Date.parse(since)) / 60_000);
  return Number.isFinite(minutes) ? minutes : null;
}
