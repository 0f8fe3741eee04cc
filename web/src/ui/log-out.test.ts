import { describe, expect, it, vi } from 'vitest';
import { logOut } from './log-out.ts';

describe('whoever has pressed “Log out”', () => {
  it.each([
    ['sees the home page once they are logged out', true, () => undefined, 1],
    ['stays when they take it back', false, () => undefined, 0],
    [
      'stays on the page that they have gone to while the server kept silent',
      true,
      (at: { visit: number }) => (at.visit += 1),
      0,
    ],
  ])('%s', async (_, over, meanwhile, times) => {
    const navigation = { visit: 3 };
    const goTo = vi.fn(async () => undefined);
    const logout = async () => {
      meanwhile(navigation);
      return over;
    };
    await logOut({ logout }, navigation, goTo);
    expect(goTo).toHaveBeenCalledTimes(times);
  });
});
