import type { Catalogue } from './catalogue.ts';

/** The languages of the pages, by what each is called in itself. */
export const LANGUAGES = { en: 'English', es: 'Español' } as const;

export type Tag = keyof typeof LANGUAGES;

/** English is part of the pages; the other languages are fetched by those who read them. */
export const OTHERS: Record<Exclude<Tag, 'en'>, () => Promise<Catalogue>> = {
  es: () => import('./es.ts').then(({ es }) => es),
};

export interface Choice {
  tag: Tag;
  /** BCP 47, with the visitor's region where their browser names one: `es-MX` writes numbers and dates unlike `es`. */
  locale: string;
}

/** `kept`: what the visitor chose by hand; `preferred`: the browser's languages, the most wanted first. */
export function chosen(kept: string | null, preferred: readonly string[]): Choice {
  const tag = isTag(kept) ? kept : (preferred.map(languageOf).find(isTag) ?? 'en');
  return { tag, locale: preferred.find((other) => languageOf(other) === tag) ?? tag };
}

function isTag(text: string | null): text is Tag {
  return text !== null && Object.prototype.hasOwnProperty.call(LANGUAGES, text);
}

function languageOf(locale: string): string {
  return (locale.split('-')[0] ?? '').toLowerCase();
}
