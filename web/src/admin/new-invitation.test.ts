import { expect, it } from 'vitest';
import { fromFragment } from '../routing/fragment.ts';
import { invitationLink, toInvite } from './new-invitation.ts';

it.each([
  [
    { uses: '1', days: '7', note: '' },
    { uses: 1, days: 7 },
  ],
  [
    { uses: ' 100 ', days: '365', note: ' The choir ' },
    { uses: 100, days: 365, note: 'The choir' },
  ],
  [{ uses: '0', days: '7', note: '' }, ['uses']],
  [{ uses: '101', days: '366', note: '' }, ['uses', 'days']],
  [{ uses: '', days: '1.5', note: '' }, ['uses', 'days']],
  [{ uses: '-1', days: '1e2', note: '' }, ['uses', 'days']],
])('%j becomes what the api takes, or is refused', (draft, wanted) => {
  expect(toInvite(draft)).toEqual(wanted);
});

it('gives a link whose token the sign-up page reads, whatever is in it', () => {
  const { pathname, hash } = new URL(invitationLink('https://example.org', 'inv_a-b+&='));
  expect(pathname).toBe('/register');
  expect(fromFragment(hash, 'invitation')).toBe('inv_a-b+&=');
});
