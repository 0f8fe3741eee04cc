import { TIERS, type Plans, type Subscription, type Tier } from '../api/billing.ts';

/** What whoever looks at a tier can do about it. */
export type Offer =
  /** And for so many days after that, if any, have the money back. */
  | { do: 'subscribe'; withdrawalDays: number }
  /** At once, and charged for the rest of the month. */
  | { do: 'upgrade' }
  /** From the next renewal on. */
  | { do: 'downgrade'; from: string }
  /** It is what their subscription changes to. */
  | { do: 'await'; from: string }
  | { do: 'nothing' };

export interface Card {
  tier: Tier;
  /** A month of it, for whoever looks: they keep the price that they subscribed at. */
  price: { amount: number; currency: string; taxIncluded: boolean };
  /** The viewer's own subscription, on the card of its tier. */
  mine: Subscription | null;
  offer: Offer;
}

/** The tiers of a channel, the lowest first; none where nothing is sold and the viewer has nothing. */
export function cardsOf({ plans, paymentMethods, withdrawalDays, subscription }: Plans): Card[] {
  const held = subscription?.status === 'expired' ? null : subscription;
  return TIERS.flatMap((tier): Card[] => {
    const plan = plans.find((one) => one.tier === tier);
    if (held !== null && held.tier === tier) {
      const { amount, currency } = held;
      const price = { amount, currency, taxIncluded: plan?.taxIncluded ?? true };
      return [{ tier, price, mine: held, offer: { do: 'nothing' } }];
    }
    if (plan === undefined || (held === null && paymentMethods.length === 0)) return [];
    const { amount, currency, taxIncluded } = plan;
    const price = { amount, currency, taxIncluded };
    const offer: Offer = held === null ? { do: 'subscribe', withdrawalDays } : change(held, tier);
    return [{ tier, price, mine: null, offer }];
  });
}

/** A subscription that has been cancelled, or that waits for a payment or for another change, is not changed before that is settled. */
function change(held: Subscription, to: Tier): Offer {
  if (held.pendingTier === to) return { do: 'await', from: held.expiresAt };
  const unsettled = held.pendingTier !== null || held.payUrl !== null || held.problem !== null;
  if (!held.renews || unsettled) return { do: 'nothing' };
  return isAbove(to, held.tier) ? { do: 'upgrade' } : { do: 'downgrade', from: held.expiresAt };
}

const isAbove = (one: Tier, other: Tier): boolean => TIERS.indexOf(one) > TIERS.indexOf(other);
