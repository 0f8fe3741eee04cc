import { describe, expect, it } from 'vitest';
import type { IngestHealth } from '../api/streams.ts';
import { adviseOn, totalCost } from './advice.ts';

const NOW = Date.parse('2026-01-01T12:10:00Z');

const FINE: IngestHealth = {
  bitrate: 6_000_000,
  fps: 60,
  keyframeIntervalMs: 2000,
  width: 1920,
  height: 1080,
  videoCodec: 'H.264',
  audioCodec: 'AAC',
  encoder: 'obs-output module',
  bFrames: false,
  droppedFrames: 0,
  connectedAt: '2026-01-01T12:00:00Z',
};

const UNKNOWN: IngestHealth = {
  bitrate: null,
  fps: null,
  keyframeIntervalMs: null,
  width: null,
  height: null,
  videoCodec: null,
  audioCodec: null,
  encoder: null,
  bFrames: null,
  droppedFrames: null,
  connectedAt: null,
};

describe('the advice', () => {
  it('praises settings that cost nothing', () => {
    expect(adviseOn(FINE, NOW).map(({ level }) => level)).toEqual(['good']);
  });

  it('says nothing before anything is known', () => {
    expect(adviseOn(UNKNOWN, NOW)).toEqual([]);
  });

  it('says nothing in the first moment, while everything is zero', () => {
    const first = { ...UNKNOWN, bitrate: 0, fps: 0, droppedFrames: 0, connectedAt: '2026-01-01T12:09:59Z' };
    expect(adviseOn(first, NOW)).toEqual([]);
  });

  it.each<[string, Partial<IngestHealth>, string, RegExp]>([
    [
      'OBS’s automatic keyframe interval',
      { keyframeIntervalMs: 8333 },
      'warning',
      /keyframe only every 8.3 s/,
    ],
    ['a keyframe interval of 3 s', { keyframeIntervalMs: 3000 }, 'hint', /keyframe every 3 s/],
    ['keyframes all the time', { keyframeIntervalMs: 200 }, 'hint', /keyframe every 0.2 s/],
    ['B-frames', { bFrames: true }, 'warning', /B-frames/],
    ['15 pictures a second', { fps: 15 }, 'hint', /15 pictures a second/],
    ['a bitrate above what viewers have', { bitrate: 20_000_000 }, 'hint', /20 Mb\/s is a lot/],
    ['a bitrate too small for the picture', { bitrate: 1_500_000 }, 'hint', /little for 1920×1080/],
    ['lost pictures', { droppedFrames: 900 }, 'warning', /2.5 % of the pictures/],
    ['HEVC', { videoCodec: 'HEVC' }, 'hint', /HEVC/],
    ['no sound', { audioCodec: null }, 'hint', /no sound/],
  ])('names %s, and only that', (_, change, level, title) => {
    const advice = adviseOn({ ...FINE, ...change }, NOW);
    expect(advice).toHaveLength(1);
    expect(advice[0]?.level).toBe(level);
    expect(advice[0]?.title).toMatch(title);
  });

  it.each<[string, Partial<IngestHealth>]>([
    ['a keyframe interval of 2 s and one frame', { keyframeIntervalMs: 2033 }],
    ['a keyframe interval of 1 s', { keyframeIntervalMs: 1000 }],
    ['30 pictures a second', { fps: 30 }],
    ['24 pictures a second', { fps: 23.976, bitrate: 4_000_000 }],
    ['one lost picture an hour', { droppedFrames: 1 }],
    ['an unknown connection time', { droppedFrames: 50, connectedAt: null }],
    ['a connection time in the future', { droppedFrames: 5, connectedAt: '2026-01-01T12:20:00Z' }],
    ['an unreadable connection time', { droppedFrames: 5, connectedAt: 'yesterday' }],
  ])('has nothing against %s', (_, change) => {
    expect(adviseOn({ ...FINE, ...change }, NOW).map(({ level }) => level)).toEqual(['good']);
  });

  it('knows that x264 with B-frames looks ahead too, and a graphics card does not by itself', () => {
    const x264 = totalCost(adviseOn({ ...FINE, fps: 30, bFrames: true }, NOW));
    const nvenc = totalCost(adviseOn({ ...FINE, fps: 30, bFrames: true, encoder: 'NVENC' }, NOW));
    expect(x264).toBe(667);
    expect(nvenc).toBe(67);
  });

  it('adds up what could be saved', () => {
    const advice = adviseOn({ ...FINE, fps: 15, bFrames: true, keyframeIntervalMs: 10_000 }, NOW);
    expect(totalCost(advice)).toBe(1333 + 33);
  });
});
