export type Route =
  | { page: 'home' }
  | { page: 'register'; next: string }
  | { page: 'login'; next: string }
  | { page: 'forgot-password' }
  | { page: 'reset-password' }
  | { page: 'verify-email' }
  | { page: 'studio' }
  | { page: 'settings' }
  | { page: 'subscriptions' }
  | { page: 'sales' }
  | { page: 'checkout'; checkoutId: string }
  | { page: 'notifications' }
  | { page: 'admin'; part: AdminPart }
  | { page: 'watch'; streamId: string }
  | { page: 'channel'; username: string }
  | { page: 'categories' }
  | { page: 'category'; slug: string; language: string | null; sort: 'viewers' | 'recent' }
  | { page: 'search'; query: string }
  | { page: 'missing' };

/** What admins look at, each at an address of its own. */
export type AdminPart = 'figures' | 'people' | 'registration' | 'categories' | 'log' | 'jobs';

export function parseRoute(path: string, query = ''): Route {
  const parts = path.split('/').filter((part) => part !== '');
  const [first, second] = parts;
  const asked = new URLSearchParams(query);
  if (first === undefined) return { page: 'home' };
  if (parts.length === 1) return topLevel(first, asked);
  if (parts.length === 2 && second !== undefined) {
    const name = decoded(second);
    if (first === 'admin') {
      const part = ADMIN_PARTS.find((one) => one === second);
      return part === undefined ? { page: 'missing' } : { page: 'admin', part };
    }
    if (second === 'subscriptions' && first === 'settings') return { page: 'subscriptions' };
    if (second === 'subscriptions' && first === 'studio') return { page: 'sales' };
    if (first === 'checkout' && name !== null) return { page: 'checkout', checkoutId: name };
    if (first === 'watch' && name !== null) return { page: 'watch', streamId: name };
    if (first === 'categories' && name !== null) {
      const sort = asked.get('sort') === 'recent' ? 'recent' : 'viewers';
      return { page: 'category', slug: name, language: languageTag(asked.get('language')), sort };
    }
  }
  return { page: 'missing' };
}

function topLevel(part: string, asked: URLSearchParams): Route {
  switch (part) {
    case 'register':
      // Who signs up without having been sent wants to stream.
      return { page: part, next: safeNext(asked.get('next')) ?? '/studio' };
    case 'login':
      return { page: part, next: safeNext(asked.get('next')) ?? '/' };
    case 'forgot-password':
    case 'reset-password':
    case 'verify-email':
    case 'studio':
    case 'settings':
    case 'notifications':
    case 'categories':
      return { page: part };
    case 'admin':
      return { page: part, part: 'figures' };
    case 'search':
      return { page: part, query: asked.get('q')?.trim() ?? '' };
  }
  const name = decoded(part);
  if (name !== null && name.length > 1 && name.startsWith('@')) {
    return { page: 'channel', username: name.slice(1) };
  }
  return { page: 'missing' };
}

/** Where to go after logging in. Only our own paths: a link must not be able to send people elsewhere. */
function safeNext(next: string | null): string | null {
  return next !== null && /^\/(?![/\\])/.test(next) ? next : null;
}

/** BCP 47, as far as the api takes it; anything else is as good as no choice. */
function languageTag(text: string | null): string | null {
  return text !== null && /^[a-z]{2,3}(-[a-z\d]{2,8})*$/i.test(text) ? text : null;
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

/** The first, the figures, has the address without a name. */
const ADMIN_PARTS: readonly AdminPart[] = ['people', 'registration', 'categories', 'log', 'jobs'];
