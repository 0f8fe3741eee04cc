import { expect, it } from 'vitest';
import type { Plans, Subscription } from '../api/billing.ts';
import { NEXT_MONTH, plan, PLANS, subscription } from './made-up-plans.ts';
import { cardsOf } from './plan-cards.ts';

/** `pro: mine`, `basic: downgrade`. */
const offers = (plans: Plans) =>
  cardsOf(plans).map(({ tier, mine, offer }) => `${tier}: ${mine === null ? offer.do : 'mine'}`);

it.each<[string, Partial<Subscription> | null, string[]]>([
  ['nothing', null, ['basic: subscribe', 'pro: subscribe', 'premium: subscribe']],
  ['one of old', { status: 'expired' }, ['basic: subscribe', 'pro: subscribe', 'premium: subscribe']],
  ['one', {}, ['basic: downgrade', 'pro: mine', 'premium: upgrade']],
  ['the lowest', { tier: 'basic' }, ['basic: mine', 'pro: upgrade', 'premium: upgrade']],
  ['one that changes', { pendingTier: 'basic' }, ['basic: await', 'pro: mine', 'premium: nothing']],
  [
    'a cancelled one',
    { status: 'cancelled', renews: false },
    ['basic: nothing', 'pro: mine', 'premium: nothing'],
  ],
  ['an unpaid one', { problem: 'payment_failed' }, ['basic: nothing', 'pro: mine', 'premium: nothing']],
  [
    'one that waits for the bank',
    { payUrl: 'https://pay.example' },
    ['basic: nothing', 'pro: mine', 'premium: nothing'],
  ],
])('offers to whoever has %s what they can do', (_, held, expected) => {
  expect(offers({ ...PLANS, subscription: held === null ? null : subscription(held) })).toEqual(expected);
});

it.each<[string, Partial<Plans>, string[]]>([
  ['nothing is sold', { selling: false, plans: [] }, []],
  ['there is no way to pay', { paymentMethods: [] }, []],
  ['one tier is sold', { plans: [plan('pro', 999)] }, ['pro: subscribe']],
  [
    'what somebody has is not sold any more',
    { plans: [plan('premium', 1_999)], subscription: subscription() },
    ['pro: mine', 'premium: upgrade'],
  ],
  [
    'nothing is sold any more, to whoever has something',
    { selling: false, plans: [], subscription: subscription() },
    ['pro: mine'],
  ],
])('shows where %s: %#', (_, change, expected) => {
  expect(offers({ ...PLANS, ...change })).toEqual(expected);
});

it('says with each that can be subscribed to for how many days the money can be had back', () => {
  const days = (plans: Plans) =>
    cardsOf(plans).map(({ offer }) => (offer.do === 'subscribe' ? offer.withdrawalDays : null));
  expect(days(PLANS)).toEqual([14, 14, 14]);
  expect(days({ ...PLANS, subscription: subscription() })).toEqual([null, null, null]);
});

it('says what whoever has it pays, and since when a change holds', () => {
  const [basic, pro] = cardsOf({ ...PLANS, subscription: subscription() });
  expect(pro?.price.amount).toBe(899);
  expect(basic?.offer).toEqual({ do: 'downgrade', from: NEXT_MONTH });
});
