import { language } from './language.svelte.ts';

/** One of `Intl`'s formats, made once for each language that is chosen. */
export function inLocale<Format>(make: (locale: string) => Format): () => Format {
  let made: { locale: string; format: Format } | undefined;
  return () => {
    const { locale } = language;
    if (made?.locale !== locale) made = { locale, format: make(locale) };
    return made.format;
  };
}

/** `1,204`. */
export const number = (value: number): string => plain().format(value);

/** `6.0`: with so many decimals, for what changes while somebody looks at it. */
export function fixedNumber(value: number, decimals: 0 | 1): string {
  return (decimals === 0 ? whole() : tenths()).format(value);
}

/** `99.95 %`, of a share of 1. */
export const percent = (share: number): string => shares().format(share);

/** `1.2K`, where there is little room. */
export const compactNumber = (value: number): string => compact().format(value);

/** `18:04`. */
export const timeOfDay = (at: Date): string => time().format(at);

/** `Nov 30, 2026`. */
export const day = (at: Date): string => date().format(at);

/** `Nov 30, 2026, 6:04:12 PM`. */
export const dayAndTime = (at: Date): string => moment().format(at);

/** `Monday 06:04 PM`. */
export const weekdayAndTime = (at: Date): string => weekday().format(at);

/** `yesterday`, `3 hours ago`, `in 2 days`: in the largest unit that fits. */
export function relativeTime(at: Date, now: number): string {
  const seconds = (at.getTime() - now) / 1000;
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? SMALLEST;
  return relative().format(Math.trunc(seconds / size), unit);
}

/** `90 seconds`, `10 minutes`, `1 day`: in the largest unit that says it exactly. */
export function duration(seconds: number): string {
  if (seconds > 0 && seconds % 86_400 === 0) return inDays().format(seconds / 86_400);
  if (seconds > 0 && seconds % 3_600 === 0) return inHours().format(seconds / 3_600);
  if (seconds > 0 && seconds % 60 === 0) return inMinutes().format(seconds / 60);
  return inSeconds().format(seconds);
}

/** What a language is called; `null` for what is no language's tag. */
export function languageName(tag: string): string | null {
  try {
    return names().of(tag) ?? null;
  } catch {
    return null;
  }
}

const plain = inLocale((locale) => new Intl.NumberFormat(locale));
const whole = inLocale((locale) => new Intl.NumberFormat(locale, { maximumFractionDigits: 0 }));
const tenths = inLocale(
  (locale) => new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 }),
);
const shares = inLocale(
  (locale) => new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 2 }),
);
const compact = inLocale(
  (locale) => new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 }),
);
// Of a day, not of half a day: chat has no room for more.
const time = inLocale(
  (locale) => new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
);
const date = inLocale((locale) => new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }));
const moment = inLocale(
  (locale) => new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' }),
);
const weekday = inLocale(
  (locale) => new Intl.DateTimeFormat(locale, { weekday: 'long', hour: '2-digit', minute: '2-digit' }),
);
const relative = inLocale((locale) => new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }));
const inUnit = (unit: string) =>
  inLocale((locale) => new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }));
const inSeconds = inUnit('second');
const inMinutes = inUnit('minute');
const inHours = inUnit('hour');
const inDays = inUnit('day');
const names = inLocale((locale) => new Intl.DisplayNames([locale], { type: 'language' }));

/** In seconds, the largest first. */
const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3_600],
];
const SMALLEST: [Intl.RelativeTimeFormatUnit, number] = ['minute', 60];
