import { TIERS, type Tier } from '../api/billing.ts';
import type { PlainKey } from '../language/catalogue.ts';
import { t } from '../language/text.ts';

/** What a tier is called; a newer server may have others, which are called what the server calls them. */
export function tierName(tier: string): string {
  const known = NAMES.get(tier);
  return known === undefined ? tier : t(known);
}

/** What a tier promises, which is what the server gives today, beginning with the tier below it, all of which it has too. */
export function promises(tier: Tier): string[] {
  const below = TIERS[TIERS.indexOf(tier) - 1];
  const own = PROMISES[tier].map((key) => t(key));
  return below === undefined ? own : [t('billing.allOf', { tier: tierName(below) }), ...own];
}

const NAMES: ReadonlyMap<string, PlainKey> = new Map([
  ['basic', 'billing.basic'],
  ['pro', 'billing.pro'],
  ['premium', 'billing.premium'],
]);

const PROMISES: Record<Tier, readonly PlainKey[]> = {
  basic: ['billing.chatFreely'],
  pro: ['billing.ownBadge'],
  premium: ['billing.premiumBadge'],
};
