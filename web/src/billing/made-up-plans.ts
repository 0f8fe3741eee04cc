import type { Plan, Plans, Subscription } from '../api/billing.ts';

/** Made-up plans and subscriptions for tests. */
export const NEXT_MONTH = '2026-12-30T12:00:00Z';

export const plan = (tier: Plan['tier'], amount: number): Plan => ({
  tier,
  amount,
  currency: 'EUR',
  taxIncluded: true,
});

export const PLANS: Plans = {
  streamerId: 'u-ana',
  paymentMethods: ['card'],
  selling: true,
  withdrawalDays: 14,
  plans: [plan('premium', 1_999), plan('basic', 499), plan('pro', 999)],
  subscription: null,
};

export const subscription = (change: Partial<Subscription> = {}): Subscription => ({
  id: 's1',
  streamer: { id: 'u-ana', username: 'ana' },
  tier: 'pro',
  status: 'active',
  expiresAt: NEXT_MONTH,
  renews: true,
  canResume: false,
  pendingTier: null,
  graceUntil: null,
  problem: null,
  payUrl: null,
  withdrawUntil: null,
  paymentMethod: 'card',
  amount: 899,
  currency: 'EUR',
  startedAt: '2026-11-30T12:00:00Z',
  ...change,
});
