import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Words } from './catalogue.ts';
import { en } from './en.ts';
import { es } from './es.ts';
import { LANGUAGES } from './languages.ts';
import { sources } from '../../dev/sources.ts';

const CATALOGUES: Record<string, Record<string, Words>> = { en, es };
const KEYS = Object.keys(en);
const OTHERS = Object.entries(CATALOGUES).filter(([tag]) => tag !== 'en');

const textsOf = (words: Words): string[] => (typeof words === 'string' ? [words] : Object.values(words));
const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

it('has a catalogue for every language that can be chosen', () => {
  expect(Object.keys(CATALOGUES).sort()).toEqual(Object.keys(LANGUAGES).sort());
});

describe.each(OTHERS)('%s', (tag, catalogue) => {
  it('has the keys that English has, and no others', () => {
    expect(Object.keys(catalogue).sort()).toEqual([...KEYS].sort());
  });

  it('puts the same values into every text', () => {
    const differing = KEYS.flatMap((key) => {
      const [english = ''] = textsOf(CATALOGUES['en']?.[key] ?? '').slice(-1);
      return textsOf(catalogue[key] ?? '')
        .filter((text) => placeholders(text).join() !== placeholders(english).join())
        .map((text) => `${key}: ${text}`);
    });
    expect(differing).toEqual([]);
  });

  it('has the plurals that the language counts with', () => {
    const plurals = Object.entries(catalogue).filter(([, words]) => typeof words !== 'string');
    const { pluralCategories } = new Intl.PluralRules(tag).resolvedOptions();
    const incomplete = plurals.filter(([, words]) =>
      pluralCategories.some((one) => !(one in (words as object))),
    );
    expect(incomplete.map(([key]) => key)).toEqual([]);
  });

  it('has translated every text, but for those that are the same word', () => {
    const same = KEYS.filter(
      (key) => JSON.stringify(catalogue[key]) === JSON.stringify(CATALOGUES['en']?.[key]) && !SAME.has(key),
    );
    expect(same).toEqual([]);
  });

  it('has no file that English does not have', () => {
    const files = (of: string) => readdirSync(join(import.meta.dirname, of)).sort();
    expect(files(tag)).toEqual(files('en'));
  });
});

it('keeps the keys of a subject in the file of its name', () => {
  const strays = Object.keys(CATALOGUES).flatMap((tag) =>
    readdirSync(join(import.meta.dirname, tag)).flatMap((file) => {
      const text = readFileSync(join(import.meta.dirname, tag, file), 'utf8');
      return [...text.matchAll(/^ {2}'([^']+)':/gm)]
        .map(([, key]) => `${tag}/${file}: ${key}`)
        .filter((place) => !place.includes(`${file.replace('.ts', '')}.ts: ${file.replace('.ts', '')}.`));
    }),
  );
  expect(strays).toEqual([]);
});

it('has no empty text, and none with space around it', () => {
  const empty = Object.values(CATALOGUES).flatMap((catalogue) =>
    Object.entries(catalogue).filter(([, words]) =>
      textsOf(words).some((text) => text === '' || text.trim() !== text),
    ),
  );
  expect(empty.map(([key]) => key)).toEqual([]);
});

const used = sources().map(({ path, text }) => ({ path, keys: quotedIn(text) }));

it('has a text for every key that the pages ask for', () => {
  const asked = sources().flatMap(({ path, text }) =>
    [...text.matchAll(/(?<![\w.])t\(\s*(['"`])([^'"`]*)\1/g)].map(([, , key]) => `${path}: ${key}`),
  );
  expect(asked.filter((place) => !KEYS.includes(place.replace(/^.*: /, '')))).toEqual([]);
  // The pages do ask for texts: the pattern above finds them.
  expect(asked.length).toBeGreaterThan(0);
});

it('has no text that nobody asks for', () => {
  const quoted = new Set(used.flatMap(({ keys }) => keys));
  expect(KEYS.filter((key) => !quoted.has(key))).toEqual([]);
});

function quotedIn(text: string): string[] {
  return [...text.matchAll(/['"`]([a-z][\w]*\.[\w.]+)['"`]/gi)].map(([, key]) => key ?? '');
}

/** Texts that are the same in another language. */
const SAME = new Set([
  'advice.milliseconds',
  'advice.seconds',
  'billing.byPayPal',
  'billing.premium',
  'billing.pro',
  'chat.streamer',
  'chat.title',
  'count.days',
  'count.hours',
  'count.minutes',
  'studio.audio',
  'studio.audioSet',
  'watch.seconds',
  'watch.withKey',
]);
