import { tick } from 'svelte';
import { parseRoute, type Route } from './route.ts';

class Navigation {
  route = $state<Route>(here());
  /** How many pages the person has gone to; where we sent them on by ourselves does not count. */
  visit = 0;
}

export const navigation = new Navigation();

export async function goTo(path: string, history: 'push' | 'replace' = 'push'): Promise<void> {
  if (history === 'push') {
    window.history.pushState(null, '', path);
    navigation.visit += 1;
  } else window.history.replaceState(null, '', path);
  navigation.route = here();
  await tick();
  window.scrollTo(0, 0);
  // Screen readers and the Tab key go on from the new page, not from the link that is gone.
  document.getElementById('main')?.focus({ preventScroll: true });
}

/** The same page with another choice, which the address keeps: nothing scrolls, and the focus stays where it is. */
export function amend(path: string): void {
  window.history.replaceState(null, '', path);
  navigation.route = here();
}

/** Lets plain `<a href>` links change the page without a reload. Returns the function that undoes it. */
export function followLinks(): () => void {
  const back = () => {
    navigation.visit += 1;
    navigation.route = here();
  };
  const click = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.target !== '' || link.origin !== location.origin) return;
    if (link.hash !== '' && link.pathname === location.pathname) return;
    event.preventDefault();
    void goTo(link.pathname + link.search);
  };
  window.addEventListener('popstate', back);
  document.addEventListener('click', click);
  return () => {
    window.removeEventListener('popstate', back);
    document.removeEventListener('click', click);
  };
}

function here(): Route {
  return parseRoute(location.pathname, location.search);
}
