import { language } from '../language/language.svelte.ts';

/** `€4.99`, of 499 in the currency's minor unit. */
export function money(amount: number, currency: string): string {
  const format = formatOf(currency);
  // The quotient is the double that is nearest to the decimal number: `Intl` writes that number.
  return format.format(amount / 10 ** decimalsOf(format));
}

/** `4.99`, as somebody would type it. */
export function typedAmount(amount: number, currency: string): string {
  const format = formatOf(currency);
  const decimals = decimalsOf(format);
  if (decimals === 0) return String(amount);
  const digits = String(amount).padStart(decimals + 1, '0');
  return digits.slice(0, -decimals) + separatorOf(format) + digits.slice(-decimals);
}

/**
 * An amount in the minor unit from what somebody typed, digit by digit. Point and comma both stand before decimals, as
 * people of any language type them; `null` for what could mean two amounts, as `1.999` euros.
 */
export function amountFrom(typed: string, currency: string): number | null {
  const match = /^(\d{1,9})(?:[.,](\d+))?$/.exec(typed.trim());
  const [, whole, fraction = ''] = match ?? [];
  const decimals = decimalsOf(formatOf(currency));
  if (whole === undefined || fraction.length > decimals) return null;
  return Number(whole + fraction.padEnd(decimals, '0'));
}

function formatOf(currency: string): Intl.NumberFormat {
  const key = `${language.locale} ${currency}`;
  const known = formats.get(key);
  if (known !== undefined) return known;
  const made = new Intl.NumberFormat(language.locale, { style: 'currency', currency });
  formats.set(key, made);
  return made;
}

/** As many as the currency has: two for euros, none for yen. */
const decimalsOf = (format: Intl.NumberFormat): number => format.resolvedOptions().maximumFractionDigits ?? 2;

const separatorOf = (format: Intl.NumberFormat): string =>
  format.formatToParts(1.1).find(({ type }) => type === 'decimal')?.value ?? '.';

/** A few: one server sells in one currency. */
const formats = new Map<string, Intl.NumberFormat>();
