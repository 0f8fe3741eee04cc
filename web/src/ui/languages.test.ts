import { describe, expect, it } from 'vitest';
import { languageName } from '../language/format.ts';
import { languageChoices } from './languages.ts';

const tags = (own: string[], chosen: string | null = null) =>
  languageChoices(own, chosen).map(({ tag }) => tag);

describe('the languages to choose from', () => {
  it('begin with the visitor’s own, without their countries, each of them once', () => {
    const all = tags(['es-MX', 'es', 'en-US']);
    expect(all.slice(0, 2)).toEqual(['es', 'en']);
    expect(new Set(all).size).toBe(all.length);
  });

  it('keep a country that the list has', () => {
    expect(tags(['pt-BR'])[0]).toBe('pt-BR');
  });

  it('have a visitor’s language that is not on the short list', () => {
    expect(languageChoices(['eu'], null)[0]).toEqual({ tag: 'eu', name: 'Basque' });
  });

  it('are sorted by name after that', () => {
    const names = languageChoices([], null).map(({ name }) => name);
    expect(names.slice(0, 3)).toEqual(['Arabic', 'Bangla', 'Brazilian Portuguese']);
  });

  it('have the chosen one, wherever it was chosen', () => {
    expect(tags(['en'], 'gsw')).toContain('gsw');
    expect(tags(['en'], 'fr').filter((tag) => tag === 'fr')).toHaveLength(1);
  });

  it('leave out what is no language', () => {
    expect(tags(['*', 'en'])[0]).toBe('en');
    expect(languageName('not a tag')).toBeNull();
  });
});
