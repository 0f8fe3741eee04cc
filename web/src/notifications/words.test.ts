import { expect, it } from 'vitest';
import type { Notification } from '../api/notifications.ts';
import { wordsOf } from './words.ts';

it.each([
  [{ username: 'marea', displayName: null }, 'marea follows you'],
  [{ username: 'marea', displayName: 'Marea' }, 'Marea follows you'],
  [{ username: 'kilo', displayName: 'Marea' }, 'Marea (@kilo) follows you'],
])('nobody passes for somebody else in what a notification says of %o', (names, text) => {
  const user = { id: 'p1', avatar: null, ...names };
  const about: Notification = {
    id: 'n1',
    type: 'new_follower',
    user,
    streamId: null,
    title: null,
    createdAt: '2026-11-30T16:00:00Z',
    read: false,
  };
  expect(wordsOf(about).text).toBe(text);
});
