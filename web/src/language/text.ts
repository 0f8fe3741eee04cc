import type { Key, Values, Words } from './catalogue.ts';
import { inLocale, number } from './format.ts';
import { language } from './language.svelte.ts';

/**
 * A text in the language of the pages: `t('home.title')`, `t('count.viewers', { count })`. Keys are written out where they are
 * used, never put together: a test finds those that nobody uses.
 */
export function t<K extends Key>(
  key: K,
  ...[values]: keyof Values<K> extends never ? [] : [Values<K>]
): string {
  return filled(language.words[key], values ?? {});
}

function filled(words: Words, values: Readonly<Record<string, string | number>>): string {
  const text =
    typeof words === 'string' ? words : (words[rules().select(Number(values['count']))] ?? words.other);
  return text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? '';
    return typeof value === 'number' ? number(value) : value;
  });
}

const rules = inLocale((locale) => new Intl.PluralRules(locale));
