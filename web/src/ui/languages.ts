export interface Language {
  /** BCP 47. */
  tag: string;
  name: string;
}

/**
 * The languages to choose from: the visitor's own first, then a short list by name. The one that is chosen already is
 * always among them.
 */
export function languageChoices(
  own: readonly string[],
  chosen: string | null,
  nameOf: (tag: string) => string | null = englishName,
): Language[] {
  const preferred = own.map(listed).filter((tag) => nameOf(tag) !== null);
  const rest = USUAL.map((tag) => ({ tag, name: nameOf(tag) ?? tag })).sort((a, b) =>
    a.name.localeCompare(b.name, 'en'),
  );
  const first = [...preferred, ...(chosen === null ? [] : [chosen])];
  const all = [...first.map((tag) => ({ tag, name: nameOf(tag) ?? tag })), ...rest];
  return all.filter(({ tag }, at) => all.findIndex((other) => other.tag === tag) === at);
}

/** What a language is called; `null` for what is no language's tag. */
export function englishName(tag: string): string | null {
  try {
    return new Intl.DisplayNames(['en'], { type: 'language' }).of(tag) ?? null;
  } catch {
    return null;
  }
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
