import { atLeast, PAGE } from './pages.ts';
import { ApiProblem } from './problem.ts';
import type { Page, Session } from './session.ts';
import type { Streamer } from './streams.ts';

/** Ordered: each has what the ones before it have. */
export const TIERS = ['basic', 'pro', 'premium'] as const;

export type Tier = (typeof TIERS)[number];

export type PaymentMethod = 'card' | 'paypal';

/** What a streamer sells, a month of it. */
export interface Plan {
  tier: Tier;
  /** In the currency's minor unit, as all amounts. */
  amount: number;
  /** ISO 4217. */
  currency: string;
  taxIncluded: boolean;
}

/** A channel's plans, as whoever asks sees them. */
export interface Plans {
  streamerId: string;
  paymentMethods: PaymentMethod[];
  selling: boolean;
  plans: Plan[];
  /** For so many days a new subscription can be withdrawn from, with the money back; 0 for none. */
  withdrawalDays: number;
  /** Of whoever asks, to this channel. */
  subscription: Subscription | null;
}

export interface Subscription {
  id: string;
  streamer: Streamer;
  tier: Tier;
  status: 'active' | 'cancelled' | 'expired';
  /** Until when it is paid for, or was. */
  expiresAt: string;
  /** Not once it is cancelled. */
  renews: boolean;
  /** Not once the provider has ended it. */
  canResume: boolean;
  /** From the next renewal on. */
  pendingTier: Tier | null;
  /** A renewal failed: what the tier promises goes on until then. */
  graceUntil: string | null;
  problem: 'payment_failed' | 'disputed' | null;
  /** Where a payment that failed, or that the bank wants confirmed, can be completed. */
  payUrl: string | null;
  /** Until when there is a right to the money back. */
  withdrawUntil: string | null;
  paymentMethod: PaymentMethod;
  amount: number;
  currency: string;
  startedAt: string;
}

export interface Checkout {
  id: string;
  /** `refused`: paid though the person had a subscription already; the money goes back. */
  status: 'open' | 'paid' | 'expired' | 'refused';
  /** Where to pay. */
  url: string | null;
  streamer: Streamer;
  tier: Tier;
}

export interface Payment {
  id: string;
  subscriptionId: string;
  streamer: Streamer;
  tier: Tier;
  amount: number;
  /** How much of the amount went back. */
  refunded: number;
  currency: string;
  paidAt: string;
  /** The month that it pays for. */
  from: string;
  to: string;
  status: 'paid' | 'refunded' | 'partly_refunded' | 'disputed';
  receiptUrl: string | null;
}

/** What a price may be. */
export interface Bounds {
  min: number;
  max: number;
  usual: number;
}

/** What a streamer sells, and may. */
export interface OwnPlans {
  currency: string;
  bounds: Record<Tier, Bounds>;
  /** What the platform keeps of each payment. */
  feePercent: number;
  plans: Pick<Plan, 'tier' | 'amount'>[];
}

export interface Subscriber {
  id: string;
  user: Streamer;
  tier: Tier;
  status: Subscription['status'];
  startedAt: string;
  expiresAt: string;
}

export interface LedgerEntry {
  at: string;
  /** The streamer's share; negative for what is taken back. */
  amount: number;
  /** `payment`, `refund`, `dispute` or `dispute_won`; a newer server may have others. */
  reason: string;
  tier: Tier;
  paymentId: string;
}

/** What the platform owes a streamer. */
export interface Owed {
  currency: string;
  owed: number;
  subscribers: Record<Tier, number>;
  /** The latest hundred, the latest first. */
  entries: LedgerEntry[];
}

const subscriptionAt = (id: string) => `/api/subscriptions/${encodeURIComponent(id)}`;

/** Whether anything can be sold on this server. */
export const billingTerms = (session: Session): Promise<{ enabled: boolean }> =>
  session.request('/api/billing');

/** `null` from an older server that sells nothing. */
export async function plansOf(session: Session, streamerId: string): Promise<Plans | null> {
  // Without a valid token the api answers as to anybody, who has no subscription.
  await session.token();
  try {
    return await session.request(`/api/users/${encodeURIComponent(streamerId)}/plans`);
  } catch (error) {
    if (error instanceof ApiProblem && error.code === 'billing_disabled') return null;
    throw error;
  }
}

export const ownPlans = (session: Session): Promise<OwnPlans> => session.request('/api/billing/plans');

/** Whoever has subscribed already keeps the price that they have. */
export const sellPlan = (session: Session, tier: Tier, amount: number): Promise<void> =>
  session.request(`/api/billing/plans/${tier}`, { method: 'PUT', body: { amount } });

/** Whoever has it keeps it. */
export const stopSelling = (session: Session, tier: Tier): Promise<void> =>
  session.request(`/api/billing/plans/${tier}`, { method: 'DELETE' });

/** The same checkout again while one like it is open. */
export const subscribe = (
  session: Session,
  wanted: { streamerId: string; tier: Tier; paymentMethod: PaymentMethod },
): Promise<Checkout> => session.request('/api/subscriptions', { method: 'POST', body: wanted });

/** Asks the provider, too. */
export const checkout = (session: Session, id: string): Promise<Checkout> =>
  session.request(`/api/checkouts/${encodeURIComponent(id)}`);

/** The latest first, with those that are over. */
export const mySubscriptions = (session: Session, count = PAGE): Promise<Page<Subscription>> =>
  atLeast(session, '/api/subscriptions/me', count, ({ id }: Subscription) => id);

/** Up: at once, and charged. Down: from the next renewal on. The present tier takes a change back. */
export const changeTier = (session: Session, id: string, tier: Tier): Promise<Subscription> =>
  session.request(subscriptionAt(id), { method: 'PATCH', body: { tier } });

/** It is not renewed any more. */
export const cancelSubscription = (session: Session, id: string): Promise<Subscription> =>
  session.request(subscriptionAt(id), { method: 'DELETE' });

/** Takes a cancellation back. */
export const resumeSubscription = (session: Session, id: string): Promise<Subscription> =>
  session.request(`${subscriptionAt(id)}/resume`, { method: 'POST' });

/** Ends it at once, and the money goes back. */
export const withdraw = (session: Session, id: string): Promise<Subscription> =>
  session.request(`${subscriptionAt(id)}/withdraw`, { method: 'POST' });

/** One's own, the latest first. */
export const payments = (session: Session, count = PAGE): Promise<Page<Payment>> =>
  atLeast(session, '/api/billing/payments', count, ({ id }: Payment) => id);

/** `null`: of every tier. */
export function subscribers(
  session: Session,
  streamerId: string,
  tier: Tier | null,
  count = PAGE,
): Promise<Page<Subscriber>> {
  const path = `/api/subscriptions/streamer/${encodeURIComponent(streamerId)}`;
  return atLeast(session, tier === null ? path : `${path}?tier=${tier}`, count, ({ id }: Subscriber) => id);
}

export const owed = (session: Session): Promise<Owed> => session.request('/api/billing/owed');

/** All of it, as CSV. */
export const ledger = (session: Session): Promise<string> =>
  session.request('/api/billing/ledger.csv', { accept: 'text/csv' });
