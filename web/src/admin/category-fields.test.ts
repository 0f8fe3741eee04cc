import { expect, it } from 'vitest';
import { categoryChanges } from './category-fields.ts';

const BEFORE = { id: 'c1', name: 'Art', slug: 'art' };

it.each([
  [{ name: 'Art', slug: 'art' }, {}],
  [{ name: ' Arts ', slug: 'art' }, { name: 'Arts' }],
  [{ name: 'Art', slug: 'arts ' }, { slug: 'arts' }],
  [
    { name: 'Arts', slug: 'arts' },
    { name: 'Arts', slug: 'arts' },
  ],
  [{ name: ' ', slug: '' }, {}],
])('%j changes only what is another', (typed, changes) => {
  expect(categoryChanges(BEFORE, typed)).toEqual(changes);
});
