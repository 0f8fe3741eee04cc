import { expect, it } from 'vitest';
import type { Figures } from '../api/admin.ts';
import { figureWords } from './figure-words.ts';

const NOTHING: Figures = {
  liveStreams: 0,
  viewers: 0,
  streams: [],
  meanLatencyMs: null,
  rtmpUptime: null,
  conversion: null,
};

const words = (figures: Figures) => figureWords(figures).map((one) => one.words);

it('tells what nobody has measured from nothing', () => {
  expect(words(NOTHING)).toEqual(['0', '0', null, null, null]);
  expect(words({ ...NOTHING, meanLatencyMs: 0, rtmpUptime: 0, conversion: 0 }).slice(2)).toEqual([
    '0.0 s',
    '0%',
    '0%',
  ]);
});

it('writes shares as a part of a hundred and latency in seconds', () => {
  const measured = {
    viewers: 1204,
    liveStreams: 12,
    meanLatencyMs: 2345,
    rtmpUptime: 0.99954,
    conversion: 0.031,
  };
  expect(words({ ...NOTHING, ...measured })).toEqual(['1,204', '12', '2.3 s', '99.95%', '3.1%']);
});
