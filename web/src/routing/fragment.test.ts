import { describe, expect, it } from 'vitest';
import { fromFragment } from './fragment.ts';

describe('fromFragment', () => {
  it.each([
    ['#token=abc', 'abc'],
    ['#token=a%2Bb&next=1', 'a+b'],
    ['token=abc', 'abc'],
    ['#token=', null],
    ['#token=%20', null],
    ['#other=abc', null],
    ['', null],
  ])('reads %s', (hash, value) => {
    expect(fromFragment(hash, 'token')).toBe(value);
  });
});
