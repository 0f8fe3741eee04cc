import { expect, it } from 'vitest';
import type { Checkout } from '../api/billing.ts';
import { LOOK_MS, nextLook, PATIENCE_MS, stageOf, type Stage } from './checkout-stage.ts';

it.each<[Checkout['status'] | null, number, Stage, number | null]>([
  [null, 0, 'waiting', LOOK_MS],
  ['open', PATIENCE_MS - 1, 'waiting', LOOK_MS],
  ['open', PATIENCE_MS, 'late', null],
  [null, PATIENCE_MS, 'late', null],
  ['paid', 0, 'paid', null],
  ['paid', PATIENCE_MS, 'paid', null],
  ['expired', 0, 'unpaid', null],
  ['refused', 0, 'refused', null],
])('a checkout that is %s after %d ms is %s, and looked at again in %j ms', (status, waited, stage, next) => {
  expect(stageOf(status, waited)).toBe(stage);
  expect(nextLook(stage)).toBe(next);
});

it('takes the word of a newer server for no end', () => {
  expect(stageOf('checking' as Checkout['status'], 0)).toBe('waiting');
});
