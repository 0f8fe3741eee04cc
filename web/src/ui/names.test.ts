import { expect, test } from 'vitest';
import { handleOf, nameOf } from './names.ts';

test.each([
  [{ username: 'ana' }, 'ana', null],
  [{ username: 'ana', displayName: null }, 'ana', null],
  [{ username: 'ana', displayName: 'Ana' }, 'Ana', null],
  [{ username: 'ana', displayName: 'La jefa' }, 'La jefa', '@ana'],
])('%o is called %s, and by %s besides', (person, name, handle) => {
  expect(nameOf(person)).toBe(name);
  expect(handleOf(person)).toBe(handle);
});
