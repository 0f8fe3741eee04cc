import { expect, it } from 'vitest';
import type { Notification } from '../api/notifications.ts';
import { wordsOf } from './words.ts';

const about = (type: string, names: { username: string; displayName: string | null }): Notification => ({
  id: 'n1',
  type,
  user: { id: 'p1', avatar: null, ...names },
  streamId: null,
  title: null,
  createdAt: '2026-11-30T16:00:00Z',
  read: false,
});

it.each([
  [{ username: 'marea', displayName: null }, 'marea follows you'],
  [{ username: 'marea', displayName: 'Marea' }, 'Marea follows you'],
  [{ username: 'kilo', displayName: 'Marea' }, 'Marea (@kilo) follows you'],
])('nobody passes for somebody else in what a notification says of %o', (names, text) => {
  expect(wordsOf(about('new_follower', names)).text).toBe(text);
});

it.each([
  ['stream_started', 'Marea (@kilo) is live', '/@kilo'],
  ['new_follower', 'Marea (@kilo) follows you', '/@kilo'],
  ['new_subscriber', 'Marea (@kilo) has subscribed to your channel', '/@kilo'],
  ['something_new', 'News of Marea (@kilo)', '/@kilo'],
])('%s is told as “%s”, and leads to %s', (type, text, path) => {
  expect(wordsOf(about(type, { username: 'kilo', displayName: 'Marea' }))).toEqual({ text, path });
});
