import { expect, it } from 'vitest';
import { promises, tierName } from './tier-words.ts';

it('has a name for each tier, and takes the server’s for another', () => {
  expect(['basic', 'pro', 'premium', 'gold', 'constructor'].map(tierName)).toEqual([
    'Basic',
    'Pro',
    'Premium',
    'gold',
    'constructor',
  ]);
});

it('promises with each tier what the one below it has', () => {
  expect(promises('basic')[0]).toBe('Chat even in slow, followers-only and subscribers-only mode');
  expect(promises('pro')[0]).toBe('Everything in Basic');
  expect(promises('premium')[0]).toBe('Everything in Pro');
});
