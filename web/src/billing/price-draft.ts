import type { Bounds } from '../api/billing.ts';
import { amountFrom } from './money.ts';

/** The price that somebody typed, or `null` where that is none, or none that the server takes. */
export function priceFrom(typed: string, currency: string, { min, max }: Bounds): number | null {
  const amount = amountFrom(typed, currency);
  return amount === null || amount < min || amount > max ? null : amount;
}
