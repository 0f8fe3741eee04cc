import { describe, expect, it } from 'vitest';
import {
  adminPath,
  categoryPath,
  channelPath,
  checkoutPath,
  loginPath,
  SALES,
  searchPath,
  SUBSCRIPTIONS,
  watchPath,
} from './paths.ts';
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
    ['/@ana', '', { page: 'channel', username: 'ana' }],
    ['/@ana/', '', { page: 'channel', username: 'ana' }],
    ['/%40Tom%C3%A1s', '', { page: 'channel', username: 'Tomás' }],
    ['/@', '', { page: 'missing' }],
    ['/@%E0%A4%A', '', { page: 'missing' }],
    ['/@ana/videos', '', { page: 'missing' }],
    ['/settings', '', { page: 'settings' }],
    ['/settings/subscriptions', '', { page: 'subscriptions' }],
    ['/settings/more', '', { page: 'missing' }],
    ['/studio/subscriptions/', '', { page: 'sales' }],
    // As payment services send people back.
    ['/checkout/0192a', '?token=EC-1&ba_token=BA-2', { page: 'checkout', checkoutId: '0192a' }],
    ['/checkout', '', { page: 'missing' }],
    ['/checkout/%E0%A4%A', '', { page: 'missing' }],
    ['/admin', '', { page: 'admin', part: 'figures' }],
    ['/admin/', '', { page: 'admin', part: 'figures' }],
    ['/admin/people', '', { page: 'admin', part: 'people' }],
    ['/admin/jobs', '', { page: 'admin', part: 'jobs' }],
    ['/admin/figures', '', { page: 'missing' }],
    ['/admin/constructor', '', { page: 'missing' }],
    ['/admin/people/1', '', { page: 'missing' }],
    ['/categories', '', { page: 'categories' }],
    ['/categories/art', '', { page: 'category', slug: 'art', language: null, sort: 'viewers' }],
    [
      '/categories/art',
      '?language=pt-BR&sort=recent',
      { page: 'category', slug: 'art', language: 'pt-BR', sort: 'recent' },
    ],
    ['/categories/art', '?sort=price', { page: 'category', slug: 'art', language: null, sort: 'viewers' }],
    [
      '/categories/art',
      '?language=any+%26',
      { page: 'category', slug: 'art', language: null, sort: 'viewers' },
    ],
    ['/categories/art/more', '', { page: 'missing' }],
    ['/search', '', { page: 'search', query: '' }],
    ['/search', '?q=+night%20drive', { page: 'search', query: 'night drive' }],
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

  it.each([
    [channelPath('Tomás'), { page: 'channel', username: 'Tomás' }],
    [channelPath('a/b'), { page: 'channel', username: 'a/b' }],
    [watchPath('a/b'), { page: 'watch', streamId: 'a/b' }],
    [checkoutPath('a/b'), { page: 'checkout', checkoutId: 'a/b' }],
    [SUBSCRIPTIONS, { page: 'subscriptions' }],
    [SALES, { page: 'sales' }],
    [categoryPath('art'), { page: 'category', slug: 'art', language: null, sort: 'viewers' }],
    [
      categoryPath('art', { language: 'es', sort: 'recent' }),
      { page: 'category', slug: 'art', language: 'es', sort: 'recent' },
    ],
    [adminPath('figures'), { page: 'admin', part: 'figures' }],
    [adminPath('log'), { page: 'admin', part: 'log' }],
    [searchPath('rock & roll?'), { page: 'search', query: 'rock & roll?' }],
    [loginPath('/search?q=a&b'), { page: 'login', next: '/search?q=a&b' }],
  ])('that we write leads where it says: %s', (path, route) => {
    const { pathname, search } = new URL(path, 'http://caudal');
    expect(parseRoute(pathname, search)).toEqual(route);
  });
});
