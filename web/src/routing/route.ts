export type Route =
  | { page: 'home' }
  | { page: 'register'; next: string }
  | { page: 'login'; next: string }
  | { page: 'studio' }
  | { page: 'watch'; streamId: string }
  | { page: 'missing' };

export function parseRoute(path: string, query = ''): Route {
  const parts = path.split('/').filter((part) => part !== '');
  const [first, second] = parts;
  if (first === undefined) return { page: 'home' };
  if (parts.length === 1 && (first === 'register' || first === 'login')) {
    // Who signs up without having been sent wants to stream.
    const usual = first === 'register' ? '/studio' : '/';
    return { page: first, next: safeNext(new URLSearchParams(query).get('next')) ?? usual };
  }
  if (parts.length === 1 && first === 'studio') return { page: 'studio' };
  if (parts.length === 2 && first === 'watch' && second !== undefined) {
    const streamId = decoded(second);
    if (streamId !== null) return { page: 'watch', streamId };
  }
  return { page: 'missing' };
}

/** Where to go after logging in. Only our own paths: a link must not be able to send people elsewhere. */
function safeNext(next: string | null): string | null {
  return next !== null && /^\/(?![/\\])/.test(next) ? next : null;
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
