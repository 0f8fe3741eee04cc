import { expect, it } from 'vitest';
import { priceFrom } from './price-draft.ts';

it.each([
  ['1.99', 199],
  ['19,99', 1_999],
  ['1.98', null],
  ['20', null],
  ['five', null],
])('%j is a price of %j', (typed, amount) => {
  expect(priceFrom(typed, 'EUR', { min: 199, max: 1_999, usual: 499 })).toBe(amount);
});
