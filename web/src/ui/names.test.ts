import { expect, test } from 'vitest';
import { fullNameOf, handleOf, nameOf } from './names.ts';

test.each([
  [{ username: 'ana' }, 'ana', null, 'ana'],
  [{ username: 'ana', displayName: null }, 'ana', null, 'ana'],
  [{ username: 'ana', displayName: 'Ana' }, 'Ana', null, 'Ana'],
  [{ username: 'ana', displayName: 'La jefa' }, 'La jefa', '@ana', 'La jefa (@ana)'],
])('%o is called %s, and by %s besides: %s', (person, name, handle, both) => {
  expect(nameOf(person)).toBe(name);
  expect(handleOf(person)).toBe(handle);
  expect(fullNameOf(person)).toBe(both);
});
