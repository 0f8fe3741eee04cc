import { describe, expect, it } from 'vitest';
import { playbackStatus, type Observed } from './playback-status.ts';

const LIVE = { isLive: true, ended: false, reconnecting: false };

const PLAYING: Observed = {
  stream: LIVE,
  unanswered: false,
  playedToTheEnd: false,
  paused: false,
  started: true,
  movedAt: 100,
  answeredAt: 100,
  fedAt: 100,
};

const NEW: Observed = { ...PLAYING, started: false, movedAt: 0, fedAt: 0 };

describe('the status is', () => {
  it.each<[string, Partial<Observed>, Observed, string]>([
    ['a moving picture', {}, PLAYING, 'playing'],
    ['a hitch too short for words', { movedAt: 99.7 }, PLAYING, 'playing'],
    ['a picture that stands for want of data', { movedAt: 99, fedAt: 99 }, PLAYING, 'buffering'],
    ['a server without anything new', { movedAt: 97.5, fedAt: 97.5 }, PLAYING, 'reconnecting'],
    [
      'a server that says so',
      { movedAt: 99.5, stream: { ...LIVE, reconnecting: true } },
      PLAYING,
      'reconnecting',
    ],
    [
      'the rest of the buffer while the source is away',
      { stream: { ...LIVE, reconnecting: true } },
      PLAYING,
      'playing',
    ],
    ['a silent server', { movedAt: 80, fedAt: 80, answeredAt: 80 }, PLAYING, 'unreachable'],
    ['a long held request', { movedAt: 90, fedAt: 90, answeredAt: 90 }, PLAYING, 'reconnecting'],
    [
      'the last seconds of an ended stream',
      { stream: { ...LIVE, isLive: false, ended: true } },
      PLAYING,
      'playing',
    ],
    [
      'an ended stream, all shown',
      { movedAt: 98, stream: { ...LIVE, isLive: false, ended: true } },
      PLAYING,
      'ended',
    ],
    ['an end told by the playlist alone', { playedToTheEnd: true }, PLAYING, 'ended'],
    ['a pause', { paused: true, movedAt: 60 }, PLAYING, 'paused'],
    [
      'an end during a pause',
      { paused: true, movedAt: 60, stream: { ...LIVE, ended: true } },
      PLAYING,
      'ended',
    ],
    ['the first moment', { stream: null }, NEW, 'loading'],
    ['an api that does not answer', { stream: null, unanswered: true }, NEW, 'unreachable'],
    ['a live stream whose first part is on its way', {}, NEW, 'loading'],
    ['a stream before its start', { stream: { ...LIVE, isLive: false } }, NEW, 'waiting'],
    ['a live stream whose media never comes', { answeredAt: 80 }, NEW, 'unreachable'],
    ['a stream that had ended before', { stream: { ...LIVE, isLive: false, ended: true } }, NEW, 'ended'],
    ['a blocked autoplay', { paused: true }, NEW, 'loading'],
  ])('for %s', (_, change, base, status) => {
    expect(playbackStatus({ ...base, ...change }, 100)).toBe(status);
  });
});
