import { expect, it } from 'vitest';
import type { Payment, Subscription } from '../api/billing.ts';
import { subscription } from './made-up-plans.ts';
import {
  courseWords,
  keptUntil,
  mayResume,
  mayWithdraw,
  paymentWords,
  troubleWords,
} from './subscription-words.ts';

const NOW = Date.parse('2026-12-01T12:00:00Z');

it.each<[Partial<Subscription>, string | null]>([
  [{ problem: 'payment_failed', graceUntil: '2027-01-06T12:00:00Z' }, null],
  [{}, 'Renews on Dec 30, 2026 for €8.99'],
  [{ pendingTier: 'basic' }, 'Changes to Basic on Dec 30, 2026'],
  [{ status: 'cancelled', renews: false }, 'Ends on Dec 30, 2026'],
  [{ status: 'cancelled', renews: false, pendingTier: 'basic' }, 'Ends on Dec 30, 2026'],
  [{ status: 'expired', renews: false }, 'Ended on Dec 30, 2026'],
  [{ status: 'cancelled', renews: false, problem: 'disputed' }, null],
])('of %j is said how it goes on: %s', (change, words) => {
  expect(courseWords(subscription(change))).toBe(words);
});

const GRACE = '2027-01-06T12:00:00Z';

it.each<[Partial<Subscription>, string | null]>([
  [{}, null],
  [{ problem: 'payment_failed' }, 'Your last payment failed.'],
  [
    { problem: 'payment_failed', graceUntil: GRACE },
    'Your last payment failed. You keep everything until Jan 6, 2027.',
  ],
  [
    { problem: 'disputed' },
    'One of your payments is being disputed through your bank, so this subscription will not renew.',
  ],
  [{ payUrl: 'https://pay.example' }, 'Your bank wants you to confirm a payment.'],
  [{ status: 'expired', problem: 'payment_failed' }, null],
])('of %j is said what is wrong: %s', (change, words) => {
  expect(troubleWords(subscription(change))).toBe(words);
});

it.each<[Partial<Subscription>, boolean, boolean]>([
  [{}, false, false],
  [{ withdrawUntil: '2026-12-14T12:00:00Z' }, true, false],
  [{ withdrawUntil: '2026-12-01T12:00:00Z' }, false, false],
  [{ status: 'expired', withdrawUntil: '2026-12-14T12:00:00Z' }, false, false],
  [
    { status: 'cancelled', renews: false, canResume: true, withdrawUntil: '2026-12-14T12:00:00Z' },
    true,
    true,
  ],
  [{ status: 'cancelled', renews: false, withdrawUntil: '2026-12-14T12:00:00Z' }, true, false],
  [{ status: 'cancelled', renews: false, canResume: true, expiresAt: '2026-11-30T12:00:00Z' }, false, false],
])('%j can be withdrawn from: %s, and resumed: %s', (change, withdrawn, resumed) => {
  expect([mayWithdraw(subscription(change), NOW), mayResume(subscription(change), NOW)]).toEqual([
    withdrawn,
    resumed,
  ]);
});

it.each([
  ['2026-12-30T12:00:00Z', 'Dec 30, 2026'],
  ['2026-11-30T12:00:00Z', null],
])('what is paid for until %s is kept until %s', (expiresAt, until) => {
  expect(keptUntil(subscription({ expiresAt }), NOW)).toBe(until);
});

it.each<[Payment['status'], string | null]>([
  ['paid', null],
  ['refunded', 'Refunded'],
  ['partly_refunded', '€1.00 refunded'],
  ['disputed', 'Disputed'],
])('a payment that is %s is told as %j', (status, words) => {
  expect(paymentWords({ status, refunded: 100, currency: 'EUR' } as Payment)).toBe(words);
});
