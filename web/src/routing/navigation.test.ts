import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

describe('the count of visits', () => {
  let popped: () => void;

  beforeEach(() => {
    vi.resetModules();
    const at = { pathname: '/', search: '' };
    const move = (_: unknown, __: unknown, path: string) => void ([at.pathname] = [path.replace(/\?.*/, '')]);
    vi.stubGlobal('location', at);
    vi.stubGlobal('window', {
      history: { pushState: move, replaceState: move },
      scrollTo: () => undefined,
      addEventListener: (_: string, listen: () => void) => (popped = listen),
    });
    vi.stubGlobal('document', { getElementById: () => null, addEventListener: () => undefined });
  });
  afterEach(() => vi.unstubAllGlobals());

  it('grows when somebody goes to a page or back in the history, and not when we send them on', async () => {
    const { amend, followLinks, goTo, navigation } = await import('./navigation.svelte.ts');
    followLinks();
    const start = navigation.visit;
    await goTo('/studio');
    expect(navigation.visit).toBe(start + 1);
    await goTo('/login?next=/studio', 'replace');
    amend('/login');
    expect(navigation.visit).toBe(start + 1);
    expect(navigation.route.page).toBe('login');
    popped();
    expect(navigation.visit).toBe(start + 2);
  });
});
