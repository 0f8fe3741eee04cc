import { describe, expect, it } from 'vitest';
import { Draft, toSave } from './draft.ts';

const ART = { id: 'c1', name: 'Art', slug: 'art' };
const ONE = { id: 's1', title: 'Morning', description: 'Coffee', categories: [ART], language: 'pt-BR' };
const TWO = { id: 's2', title: 'Untitled', description: null, categories: [], language: null };
const FROM_ONE = { title: 'Morning', description: 'Coffee', categories: [ART], language: 'pt-BR' };
const FROM_TWO = { title: 'Untitled', description: '', categories: [], language: '' };

function without<T extends object>(fields: T, name: keyof T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([at]) => at !== name)) as Partial<T>;
}

describe('a draft', () => {
  it('begins with what the stream is called', () => {
    expect(new Draft().fillFrom(ONE)).toEqual(FROM_ONE);
  });

  it('is filled once for each stream, however often it is asked about', () => {
    const draft = new Draft();
    draft.fillFrom(ONE);
    expect(draft.fillFrom({ ...ONE, title: 'Changed elsewhere' })).toEqual({});
    expect(draft.fillFrom(TWO)).toEqual(FROM_TWO);
  });

  it.each([
    ['the encoder opens a stream', null],
    ['another stream follows', ONE],
  ])('keeps a title that is being typed when %s', (_, before) => {
    const draft = new Draft();
    draft.fillFrom(before);
    draft.touch('title');
    expect(draft.fillFrom(TWO)).toEqual(without(FROM_TWO, 'title'));
    expect(draft.fillFrom(ONE)).toEqual(without(FROM_ONE, 'title'));
  });

  it('does not empty a description that nobody has seen yet', () => {
    const draft = new Draft();
    draft.touch('title');
    expect(draft.fillFrom(ONE)).toEqual(without(FROM_ONE, 'title'));
  });

  it('takes up the next stream again once it is saved', () => {
    const draft = new Draft();
    draft.touch('title');
    expect(draft.save()('s1')).toBe(true);
    expect(draft.fillFrom(ONE)).toEqual({});
    expect(draft.fillFrom(TWO)).toEqual(FROM_TWO);
  });

  it('is not saved as far as somebody typed on while it was being saved', () => {
    const draft = new Draft();
    draft.touch('title');
    const saved = draft.save();
    draft.touch('title');
    expect(saved('s1')).toBe(false);
    expect(draft.fillFrom(TWO)).toEqual(without(FROM_TWO, 'title'));
  });

  it.each(['categories', 'language'] as const)(
    'keeps %s that were chosen before the stream turned up',
    (field) => {
      const draft = new Draft();
      draft.touch(field);
      expect(draft.fillFrom(ONE)).toEqual(without(FROM_ONE, field));
      expect(draft.save()('s1')).toBe(true);
      expect(draft.fillFrom(TWO)).toEqual(FROM_TWO);
    },
  );

  it('is sent with the ids of its categories, and no language when that is left open', () => {
    expect(toSave({ ...FROM_ONE, title: ' Morning ' })).toEqual({
      title: 'Morning',
      description: 'Coffee',
      categoryIds: ['c1'],
      language: 'pt-BR',
    });
    expect(toSave(FROM_TWO).language).toBeNull();
  });
});
