import type { PlainKey } from '../language/catalogue.ts';
import { t } from '../language/text.ts';

/** Why something was added to or taken from what a streamer is owed; a newer server may have other reasons, which it names. */
export function ledgerWords(reason: string): string {
  const known = REASONS.get(reason);
  return known === undefined ? reason : t(known);
}

const REASONS: ReadonlyMap<string, PlainKey> = new Map([
  ['payment', 'billing.entryPayment'],
  ['refund', 'billing.entryRefund'],
  ['dispute', 'billing.entryDispute'],
  ['dispute_won', 'billing.entryDisputeWon'],
]);
