import type { Figures } from '../api/admin.ts';
import { fixedNumber, number, percent } from '../language/format.ts';
import { t } from '../language/text.ts';

export interface Figure {
  name: string;
  /** `null` for what nobody has measured yet, which is not the same as nothing. */
  words: string | null;
}

/** What there is to say of the platform as a whole. */
export function figureWords(of: Figures): Figure[] {
  return [
    { name: t('admin.watching'), words: number(of.viewers) },
    { name: t('admin.liveStreams'), words: number(of.liveStreams) },
    { name: t('admin.latency'), words: measured(of.meanLatencyMs, latencyWords) },
    { name: t('admin.uptime'), words: measured(of.rtmpUptime, percent) },
    { name: t('admin.conversion'), words: measured(of.conversion, percent) },
  ];
}

const measured = (value: number | null, words: (value: number) => string) =>
  value === null ? null : words(value);

/** `2.3 s` */
export const latencyWords = (ms: number): string =>
  t('watch.seconds', { seconds: fixedNumber(ms / 1000, 1) });
