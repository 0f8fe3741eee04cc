import { describe, expect, it } from 'vitest';
import { Draft } from './draft.ts';

const ONE = { id: 's1', title: 'Morning', description: 'Coffee' };
const TWO = { id: 's2', title: 'Untitled', description: null };

describe('a draft', () => {
  it('begins with what the stream is called', () => {
    expect(new Draft().fillFrom(ONE)).toEqual({ title: 'Morning', description: 'Coffee' });
  });

  it('is filled once for each stream, however often it is asked about', () => {
    const draft = new Draft();
    draft.fillFrom(ONE);
    expect(draft.fillFrom({ ...ONE, title: 'Changed elsewhere' })).toEqual({});
    expect(draft.fillFrom(TWO)).toEqual({ title: 'Untitled', description: '' });
  });

  it.each([
    ['the encoder opens a stream', null],
    ['another stream follows', ONE],
  ])('keeps a title that is being typed when %s', (_, before) => {
    const draft = new Draft();
    draft.fillFrom(before);
    draft.touch('title');
    expect(draft.fillFrom(TWO)).toEqual({ description: '' });
    expect(draft.fillFrom(ONE)).toEqual({ description: 'Coffee' });
  });

  it('does not empty a description that nobody has seen yet', () => {
    const draft = new Draft();
    draft.touch('title');
    expect(draft.fillFrom(ONE)).toEqual({ description: 'Coffee' });
  });

  it('takes up the next stream again once it is saved', () => {
    const draft = new Draft();
    draft.touch('title');
    expect(draft.save()('s1')).toBe(true);
    expect(draft.fillFrom(ONE)).toEqual({});
    expect(draft.fillFrom(TWO)).toEqual({ title: 'Untitled', description: '' });
  });

  it('is not saved as far as somebody typed on while it was being saved', () => {
    const draft = new Draft();
    draft.touch('title');
    const saved = draft.save();
    draft.touch('title');
    expect(saved('s1')).toBe(false);
    expect(draft.fillFrom(TWO)).toEqual({ description: '' });
  });
});
