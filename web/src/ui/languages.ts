import { languageName } from '../language/format.ts';
import { language } from '../language/language.svelte.ts';

export interface Language {
  /** BCP 47. */
  tag: string;
  name: string;
}

/**
 * The languages to choose from: the visitor's own first, then a short list by name. The one that is chosen already is
 * always among them.
 */
export function languageChoices(own: readonly string[], chosen: string | null): Language[] {
  const preferred = own.map(listed).filter((tag) => languageName(tag) !== null);
  const rest = USUAL.map((tag) => ({ tag, name: languageName(tag) ?? tag })).sort((a, b) =>
    a.name.localeCompare(b.name, language.locale),
  );
  const first = [...preferred, ...(chosen === null ? [] : [chosen])];
  const all = [...first.map((tag) => ({ tag, name: languageName(tag) ?? tag })), ...rest];
  return all.filter(({ tag }, at) => all.findIndex((other) => other.tag === tag) === at);
}

/**
 * Browsers send a region as well (`en-US`). A filter by `en` finds `en-US` too, but not the other way round: the region is
 * dropped unless the list has it.
 */
function listed(tag: string): string {
  return USUAL.includes(tag) ? tag : (tag.split('-')[0] ?? tag);
}

/** What most streams on the large platforms are in. */
const USUAL: readonly string[] = [
  'ar',
  'bn',
  'ca',
  'cs',
  'da',
  'de',
  'el',
  'en',
  'es',
  'fi',
  'fr',
  'he',
  'hi',
  'hu',
  'id',
  'it',
  'ja',
  'ko',
  'nl',
  'no',
  'pl',
  'pt',
  'pt-BR',
  'ro',
  'ru',
  'sv',
  'th',
  'tr',
  'uk',
  'vi',
  'zh',
];
