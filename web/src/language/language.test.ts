import { afterEach, beforeEach, expect, it, vi } from 'vitest';

const kept = new Map<string, string>();
const page = { documentElement: { lang: 'en' } };

beforeEach(() => {
  vi.resetModules();
  kept.clear();
  page.documentElement.lang = 'en';
  vi.stubGlobal('document', page);
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  });
});
afterEach(() => {
  vi.doUnmock('./es.ts');
  vi.unstubAllGlobals();
});

async function pages(...languages: string[]) {
  vi.stubGlobal('navigator', { languages });
  const { chooseLanguage, findLanguage, language } = await import('./language.svelte.ts');
  return {
    chooseLanguage,
    findLanguage,
    language,
    ...(await import('./text.ts')),
    ...(await import('./format.ts')),
  };
}

it('speaks English until it has looked, and then the browser’s language', async () => {
  const { findLanguage, t } = await pages('es-ES');
  expect(t('home.title')).toBe('Live now');
  await findLanguage();
  expect(t('home.title')).toBe('En directo ahora');
  expect(page.documentElement.lang).toBe('es');
});

it('keeps what was chosen by hand for the next visit', async () => {
  const { chooseLanguage, language } = await pages('en-US');
  await chooseLanguage('es');
  expect(language.tag).toBe('es');
  vi.resetModules();
  const next = await pages('en-US');
  await next.findLanguage();
  expect(next.language.tag).toBe('es');
});

it('is in English when the catalogue cannot be fetched', async () => {
  vi.doMock('./es.ts', () => {
    throw new Error('gone');
  });
  const { findLanguage, language } = await pages('es');
  await findLanguage();
  expect(language.tag).toBe('en');
  expect(page.documentElement.lang).toBe('en');
});

it('stays as it is, and remembers nothing, when another language cannot be fetched', async () => {
  vi.doMock('./es.ts', () => {
    throw new Error('gone');
  });
  const { chooseLanguage, language } = await pages('en');
  await expect(chooseLanguage('es')).rejects.toThrow();
  expect(language.tag).toBe('en');
  expect([...kept]).toEqual([]);
});

it('follows the last choice, however late an earlier catalogue comes', async () => {
  const { chooseLanguage, language } = await pages('en');
  const spanish = chooseLanguage('es');
  await chooseLanguage('en');
  await spanish;
  expect(language.tag).toBe('en');
  expect([...kept.values()]).toEqual(['en']);
});

it('counts and writes numbers as the language does', async () => {
  const { chooseLanguage, compactNumber, fixedNumber, languageName, relativeTime, t } = await pages(
    'en-US',
    'es-ES',
  );
  const hourAgo = new Date(-3_600_000);
  expect(t('count.viewers', { count: 1 })).toBe('1 viewer');
  expect(t('count.viewers', { count: 12_345 })).toBe('12,345 viewers');
  expect([compactNumber(1_234), fixedNumber(6, 1), relativeTime(hourAgo, 0)]).toEqual([
    '1.2K',
    '6.0',
    '1 hour ago',
  ]);
  expect(languageName('fr')).toBe('French');
  await chooseLanguage('es');
  expect(t('count.viewers', { count: 1 })).toBe('1 espectador');
  expect(t('count.viewers', { count: 12_345 })).toBe('12.345 espectadores');
  expect(t('count.viewers', { count: 1_000_000 })).toBe('1.000.000 de espectadores');
  expect([fixedNumber(6, 1), relativeTime(hourAgo, 0), languageName('fr')]).toEqual([
    '6,0',
    'hace 1 hora',
    'francés',
  ]);
});

it('puts values in as they are, whatever they look like', async () => {
  const { t } = await pages('en');
  expect(t('ui.followName', { name: '{name} $& $1' })).toBe('Follow {name} $& $1');
});
