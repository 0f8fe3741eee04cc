import { expect, it } from 'vitest';
import { estimateLatency } from './latency-estimate.ts';

it.each([
  ['both agree', 0.75, 0.5, { seconds: 0.75, by: 'clock' }],
  ['the clock is a minute fast', 60.7, 0.5, { seconds: 0.5, by: 'edge' }],
  ['the clock is slow', -3, 0.5, { seconds: 0.5, by: 'edge' }],
  ['the clock is slightly slow', 0.2, 0.5, { seconds: 0.5, by: 'edge' }],
  ['there is no clock in the stream', null, 0.5, { seconds: 0.5, by: 'edge' }],
  ['there is only the clock', 4.2, null, { seconds: 4.2, by: 'clock' }],
  ['nothing is known', null, null, null],
  ['numbers are broken', Number.NaN, Number.POSITIVE_INFINITY, null],
])('when %s', (_, clock, edge, expected) => {
  expect(estimateLatency(clock, edge)).toEqual(expected);
});
