import { expect, it } from 'vitest';
import { toSave } from './profile-fields.ts';

it('saves what was typed without the space around it, and nothing as null', () => {
  expect(toSave({ displayName: ' Ana Marea ', bio: 'One\nTwo\n' })).toEqual({
    displayName: 'Ana Marea',
    bio: 'One\nTwo',
  });
  expect(toSave({ displayName: '  ', bio: '' })).toEqual({ displayName: null, bio: null });
});
