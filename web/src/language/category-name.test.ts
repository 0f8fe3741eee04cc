import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it, vi } from 'vitest';
import { en } from './en.ts';

beforeEach(() => {
  vi.resetModules();
  vi.stubGlobal('document', { documentElement: { lang: 'en' } });
  vi.stubGlobal('localStorage', { getItem: () => null });
  return () => vi.unstubAllGlobals();
});

async function names(browsersLanguage: string) {
  vi.stubGlobal('navigator', { languages: [browsersLanguage] });
  const { findLanguage } = await import('./language.svelte.ts');
  await findLanguage();
  return import('./category-name.ts');
}

it.each([
  ['es', 'Just Chatting', 'just-chatting', 'Charla'],
  ['en', 'Just Chatting', 'just-chatting', 'Just Chatting'],
  ['es', 'Art', 'art', 'Arte'],
  // An admin's own, renamed, and with the address of another.
  ['es', 'Chess', 'chess', 'Chess'],
  ['es', 'Fine art', 'art', 'Fine art'],
  ['es', 'Art', 'art-2', 'Art'],
  ['es', 'constructor', 'constructor', 'constructor'],
])('in %s, %s at %s is called %s', async (language, name, slug, shown) => {
  const { categoryName } = await names(language);
  expect(categoryName({ name, slug })).toBe(shown);
});

it('knows those that the api begins with, and no others', async () => {
  const { SEEDED } = await names('en');
  const migration = readFileSync(
    join(import.meta.dirname, '../../../api/migrations/0007_people.sql'),
    'utf8',
  );
  const seeded = [...migration.matchAll(/^ {4}\('[0-9a-f-]{36}', '([^']+)', '([^']+)'\)/gm)];
  expect(seeded.length).toBeGreaterThan(10);
  expect([...SEEDED].map(([slug, key]) => [en[key], slug])).toEqual(
    seeded.map(([, name, slug]) => [name, slug]),
  );
});
