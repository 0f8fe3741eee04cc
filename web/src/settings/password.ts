import { t } from '../language/text.ts';

/** In characters; the api has the same bounds. */
export const SHORTEST_PASSWORD = 8;
export const LONGEST_PASSWORD = 128;

/** What is wrong with a password that somebody chose; the api has the last word. */
export const passwordFault = (password: string): string | null =>
  [...password].length < SHORTEST_PASSWORD
    ? t('account.passwordTooShort', { count: SHORTEST_PASSWORD })
    : null;
