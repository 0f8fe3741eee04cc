import { describe, expect, it } from 'vitest';
import type { Stream } from '../api/streams.ts';
import { newestPosterOf, posterOf } from './poster.ts';

const START = '2026-01-01T12:00:00Z';
const LIVE = { isLive: true, thumbnailUrl: '/poster.jpg', startedAt: START } as Stream;
const at = (seconds: number) => Date.parse(START) + seconds * 1000;

describe('a poster', () => {
  it.each([
    ['of a stream that is on for a while', LIVE, 60, '/poster.jpg'],
    ['of one that has just begun is not made yet', LIVE, 3, null],
    ['of one that has ended may be gone', { ...LIVE, isLive: false }, 60, null],
    ['of sound alone does not exist', { ...LIVE, thumbnailUrl: null }, 60, null],
  ])('%s', (_, stream, seconds, url) => {
    expect(posterOf(stream, at(seconds))).toBe(url);
  });

  it('that the streamer uploaded is there before the stream and after it, under one address', () => {
    const own = { ...LIVE, thumbnailUrl: '/pictures/thumbnails/1.jpg' };
    for (const stream of [own, { ...own, isLive: false }, { ...own, startedAt: null }]) {
      expect(posterOf(stream, at(0))).toBe(own.thumbnailUrl);
      expect(newestPosterOf(stream, at(600))).toBe(own.thumbnailUrl);
    }
  });

  it('is fetched once while it stays', () => {
    const asked = new Set([20, 50, 79, 81, 110, 139].map((seconds) => newestPosterOf(LIVE, at(seconds))));
    expect([...asked]).toEqual(['/poster.jpg?t=0', '/poster.jpg?t=1']);
  });

  it('keeps a signed address as it is', () => {
    const signed = { ...LIVE, thumbnailUrl: '/poster.jpg?signature=s' };
    expect(newestPosterOf(signed, at(600))).toBe('/poster.jpg?signature=s');
    expect(newestPosterOf(signed, at(3))).toBe(null);
  });
});
