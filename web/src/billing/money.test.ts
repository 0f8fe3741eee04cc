import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { chooseLanguage } from '../language/language.svelte.ts';
import { amountFrom, money, typedAmount } from './money.ts';

beforeEach(() => {
  vi.stubGlobal('navigator', { languages: ['en-US', 'es-ES'] });
  vi.stubGlobal('document', { documentElement: {} });
});
afterEach(async () => {
  await chooseLanguage('en');
  vi.unstubAllGlobals();
});

it.each([
  [499, 'EUR', '€4.99', '4.99'],
  [5, 'EUR', '€0.05', '0.05'],
  [0, 'EUR', '€0.00', '0.00'],
  [-399, 'EUR', '-€3.99', null],
  [123_456_789, 'EUR', '€1,234,567.89', '1234567.89'],
  [500, 'JPY', '¥500', '500'],
  [1_500, 'KWD', 'KWD 1.500', '1.500'],
])('%d in %s is written %s, and typed %s', async (amount, currency, written, typed) => {
  await chooseLanguage('en');
  expect(money(amount, currency).replace(/\s/g, ' ')).toBe(written);
  if (typed !== null) expect(typedAmount(amount, currency)).toBe(typed);
});

it('is written as the language does', async () => {
  await chooseLanguage('es');
  expect(money(499, 'EUR').replace(/\s/g, ' ')).toBe('4,99 €');
  expect(typedAmount(499, 'EUR')).toBe('4,99');
});

it.each([
  ['4.99', 'EUR', 499],
  ['4,99', 'EUR', 499],
  [' 5 ', 'EUR', 500],
  ['4.9', 'EUR', 490],
  // 8.2 * 100 is 819.9999999999999 in floating point.
  ['8.20', 'EUR', 820],
  ['0.07', 'EUR', 7],
  ['007', 'EUR', 700],
  ['500', 'JPY', 500],
  ['1.5', 'KWD', 1_500],
  ['1.999', 'EUR', null],
  ['1.000', 'JPY', null],
  ['1,000.00', 'EUR', null],
  ['-1', 'EUR', null],
  ['1e3', 'EUR', null],
  ['€5', 'EUR', null],
  ['.5', 'EUR', null],
  ['5.', 'EUR', null],
  ['', 'EUR', null],
  ['1234567890', 'EUR', null],
])('%j typed in %s is %j', (typed, currency, amount) => {
  expect(amountFrom(typed, currency)).toBe(amount);
});
