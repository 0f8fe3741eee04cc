import { expect, it } from 'vitest';
import { daysBetween } from './log-days.ts';

it.each([
  ['', '', {}],
  ['2026-11-30', '', { since: new Date(2026, 10, 30) }],
  ['', '2026-11-30', { until: new Date(2026, 11, 1) }],
  ['2026-12-31', '2026-12-31', { since: new Date(2026, 11, 31), until: new Date(2027, 0, 1) }],
  ['yesterday', '2026-1-1', {}],
])('from %j to %j is %j', (first, last, expected) => {
  expect(daysBetween(first, last)).toEqual(expected);
});
