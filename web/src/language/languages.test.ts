import { expect, it } from 'vitest';
import { chosen } from './languages.ts';

it.each([
  ['the first of the browser’s that we have', null, ['fr-FR', 'es-MX', 'en'], 'es', 'es-MX'],
  ['English for a browser with none of ours', null, ['fr', 'de-AT'], 'en', 'en'],
  ['English for a browser that says nothing', null, [], 'en', 'en'],
  ['what was chosen by hand, however the browser is set', 'es', ['en-GB'], 'es', 'es'],
  ['what was chosen by hand, as the visitor’s region writes it', 'en', ['es-AR', 'en-GB'], 'en', 'en-GB'],
  ['the browser’s when a choice of old is no longer there', 'tlh', ['es'], 'es', 'es'],
  ['no name that every object has', 'constructor', ['toString'], 'en', 'en'],
])('chooses %s', (_, kept, preferred, tag, locale) => {
  expect(chosen(kept, preferred)).toEqual({ tag, locale });
});
