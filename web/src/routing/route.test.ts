import { describe, expect, it } from 'vitest';
import { parseRoute } from './route.ts';

describe('a path', () => {
  it.each([
    ['/', '', { page: 'home' }],
    ['/register', '', { page: 'register', next: '/studio' }],
    ['/login', '?next=%2Fstudio', { page: 'login', next: '/studio' }],
    ['/login/', '', { page: 'login', next: '/' }],
    ['/studio', '', { page: 'studio' }],
    ['/watch/0192a', '', { page: 'watch', streamId: '0192a' }],
    ['/watch/a%2Fb', '', { page: 'watch', streamId: 'a/b' }],
    ['/watch', '', { page: 'missing' }],
    ['/watch/%E0%A4%A', '', { page: 'missing' }],
    ['/studio/more', '', { page: 'missing' }],
    ['/nothing', '', { page: 'missing' }],
  ])('%s%s leads to the right page', (path, query, route) => {
    expect(parseRoute(path, query)).toEqual(route);
  });

  it.each(['https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)', ''])(
    'does not carry a visitor to %j after the log-in',
    (next) => {
      expect(parseRoute('/login', `?next=${encodeURIComponent(next)}`)).toEqual({ page: 'login', next: '/' });
    },
  );
});
