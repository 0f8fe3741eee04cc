import type { Payment, Subscription } from '../api/billing.ts';
import { day } from '../language/format.ts';
import { t } from '../language/text.ts';
import { money } from './money.ts';
import { tierName } from './tier-words.ts';

/** What is wrong with a subscription's payment; `null` where nothing is. */
export function troubleWords({ status, problem, payUrl, graceUntil }: Subscription): string | null {
  if (status === 'expired') return null;
  if (problem === 'disputed') return t('billing.disputed');
  if (problem === 'payment_failed' || graceUntil !== null) {
    return graceUntil === null
      ? t('billing.paymentFailed')
      : t('billing.paymentFailedUntil', { day: dayOf(graceUntil) });
  }
  return payUrl === null ? null : t('billing.toConfirm');
}

/** How it goes on: that it is renewed, changes or ends; `null` while a payment decides that. */
export function courseWords(of: Subscription): string | null {
  const on = dayOf(of.expiresAt);
  if (of.status === 'expired') return t('billing.endedOn', { day: on });
  // A dispute that is won brings back what is left: nobody knows yet until when.
  if (of.problem === 'disputed') return null;
  if (!of.renews) return t('billing.endsOn', { day: on });
  if (of.graceUntil !== null) return null;
  if (of.pendingTier !== null) return t('billing.changesTo', { tier: tierName(of.pendingTier), day: on });
  return t('billing.renewsOn', { price: money(of.amount, of.currency), day: on });
}

/** Until when somebody who cancels keeps what they have; `null` where that is not paid for any more. */
export const keptUntil = ({ expiresAt }: Subscription, now: number): string | null =>
  Date.parse(expiresAt) > now ? dayOf(expiresAt) : null;

/** Whether the money can still be asked back by right. */
export const mayWithdraw = ({ status, withdrawUntil }: Subscription, now: number): boolean =>
  status !== 'expired' && withdrawUntil !== null && Date.parse(withdrawUntil) > now;

export const mayResume = ({ canResume, expiresAt }: Subscription, now: number): boolean =>
  canResume && Date.parse(expiresAt) > now;

/** What became of a payment; `null` for one that was simply paid. */
export function paymentWords({ status, refunded, currency }: Payment): string | null {
  switch (status) {
    case 'refunded':
      return t('billing.refunded');
    case 'partly_refunded':
      return t('billing.partlyRefunded', { amount: money(refunded, currency) });
    case 'disputed':
      return t('billing.paymentDisputed');
    default:
      return null;
  }
}

const dayOf = (at: string): string => day(new Date(at));
