import { expect, it } from 'vitest';
import { ledgerWords } from './ledger-words.ts';

it.each([
  ['payment', 'Payment'],
  ['refund', 'Refund'],
  ['dispute', 'Disputed payment'],
  ['dispute_won', 'Dispute won'],
  ['correction', 'correction'],
])('%s is told as “%s”', (reason, words) => {
  expect(ledgerWords(reason)).toBe(words);
});
