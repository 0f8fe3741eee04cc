import type { Checkout } from '../api/billing.ts';

/** How far a payment is, for whoever comes back from it. */
export type Stage = 'waiting' | 'late' | 'paid' | 'unpaid' | 'refused';

/** `waited`: milliseconds since somebody began to look. */
export function stageOf(status: Checkout['status'] | null, waited: number): Stage {
  switch (status) {
    case 'paid':
    case 'refused':
      return status;
    case 'expired':
      return 'unpaid';
    default:
      return waited < PATIENCE_MS ? 'waiting' : 'late';
  }
}

/** Milliseconds until the next question; `null` when there is nothing more to find out, or it takes too long. */
export const nextLook = (stage: Stage): number | null => (stage === 'waiting' ? LOOK_MS : null);

/** The api asks the payment service each time. */
export const LOOK_MS = 2_000;
/** Cards take seconds; what takes longer than this may take hours. */
export const PATIENCE_MS = 120_000;
