import { describe, expect, it } from 'vitest';
import { readFrame, readLines } from './frames.ts';
import { line } from './made-up-lines.ts';

const read = (event: string, data: unknown, more: object = {}) =>
  readFrame(JSON.stringify({ event, data, ...more }));

describe('a frame', () => {
  it.each([
    ['new_message', { ...line(4), streamId: 's' }, { event: 'new_message', line: line(4) }],
    ['new_message', { epoch: 1, offset: 4 }, { event: 'unknown', position: { epoch: 1, offset: 4 } }],
    ['pinned', { epoch: 1, offset: 4 }, { event: 'unknown', position: { epoch: 1, offset: 4 } }],
    ['raid', {}, { event: 'unknown', position: null }],
    ['viewer_count', { count: 7 }, { event: 'viewer_count', count: 7 }],
    ['viewer_count', { count: 'many' }, null],
    ['joined', {}, null],
    ['error', { code: 'not_found' }, { event: 'error', code: 'not_found' }],
  ])('%s with %j is read', (event, data, expected) => {
    expect(read(event, data)).toEqual(expected);
  });

  it('of an answer has its id, whether that is a number or a text', () => {
    expect(read('ack', { ok: true, message: line(2) }, { id: 7 })).toEqual({
      event: 'ack',
      id: '7',
      refusal: null,
      line: line(2),
    });
    expect(
      read('ack', { ok: false, code: 'too_fast', detail: 'wait', retryAfterMs: 640 }, { id: 'a' }),
    ).toEqual({
      event: 'ack',
      id: 'a',
      refusal: { code: 'too_fast', detail: 'wait', retryAfterMs: 640 },
      line: null,
    });
  });

  it.each(['', '[]', '7', 'null', '{', '{"data":{}}'])('is not %j', (text) => {
    expect(readFrame(text)).toBeNull();
  });

  it('leaves out of a list what is no message', () => {
    expect(readLines([line(1), null, { id: 'x' }, line(2)])).toEqual([line(1), line(2)]);
    expect(readLines('no list')).toEqual([]);
  });
});
