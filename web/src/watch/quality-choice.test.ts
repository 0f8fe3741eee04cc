import * as hlsjs from 'hls.js';
import { ErrorDetails, ErrorTypes } from 'hls.js';
import { describe, expect, it } from 'vitest';
import { faultOf, QualityChoice, type Failed } from './quality-choice.ts';

const listed = (...names: string[]) =>
  names.map((name) => ({ uri: `https://edge.test/v/ticket/live/s1/${name}/index.m3u8?token=a/b` }));
const LEVELS = listed('360p', '720p', 'source');

function chosen(name: string) {
  const choice = new QualityChoice();
  choice.choose(listed(name)[0]);
  return choice;
}

describe('a chosen quality', () => {
  it.each([
    ['where it was', LEVELS, 1],
    ['at another place, after rungs have come or gone', listed('240p', '360p', '480p', '720p'), 3],
    ['under the address of another viewer', [{ uri: '/live/s1/720p/index.m3u8' }], 0],
    ['nowhere while the server does not list it', listed('360p', 'source'), -1],
  ])('is found %s', (_, levels, at) => {
    expect(chosen('720p').indexIn(levels)).toBe(at);
  });

  it('is none at first, and none again once the viewer lets the player choose', () => {
    expect(new QualityChoice().indexIn(LEVELS)).toBe(-1);
    const choice = chosen('720p');
    choice.choose(undefined);
    expect(choice.indexIn(LEVELS)).toBe(-1);
  });

  it('outlives hiccups, as long as something of it arrives between them', () => {
    const choice = chosen('720p');
    for (let n = 0; n < 20; n += 1) {
      expect(choice.failed(LEVELS[1], 'broken', n)).toBe(false);
      if (n % 2 === 1) choice.buffered(LEVELS[1]);
    }
    expect(choice.indexIn(LEVELS)).toBe(1);
  });

  it.each([
    ['is dropped when it has failed for three seconds', [0, 1, 2, 3], [false, false, false, true]],
    ['is kept however often it fails within a moment', [0, 0.1, 0.2, 0.3, 0.4], Array(5).fill(false)],
    ['is kept when it fails again long after it failed', [0, 600], [false, false]],
  ])('%s, whatever arrives of others', (_, times, dropped) => {
    const choice = chosen('720p');
    const failures = times.map((now) => {
      choice.buffered(LEVELS[0]);
      return choice.failed(LEVELS[1], 'broken', now);
    });
    expect(failures).toEqual(dropped);
    expect(choice.indexIn(LEVELS)).toBe(dropped.includes(true) ? -1 : 1);
  });

  it('is dropped at once when the server no longer has it', () => {
    const choice = chosen('720p');
    expect(choice.failed(LEVELS[1], 'gone', 0)).toBe(true);
    expect(choice.indexIn(LEVELS)).toBe(-1);
  });

  it('has nothing to do with what happens to others', () => {
    const choice = chosen('720p');
    for (let n = 0; n < 9; n += 1) expect(choice.failed(LEVELS[0], 'gone', n)).toBe(false);
    expect(choice.failed(undefined, 'gone', 9)).toBe(false);
    expect(choice.indexIn(LEVELS)).toBe(1);
  });
});

describe('an error of hls.js', () => {
  const { NETWORK_ERROR, MEDIA_ERROR } = ErrorTypes;
  // TypeScript lets nobody import it.
  const actions = (hlsjs as unknown as { NetworkErrorAction: Record<string, number> }).NetworkErrorAction;
  const doing = (name: string) => ({ errorAction: { action: actions[name] ?? Number.NaN } });
  const givenUp = doing('SendAlternateToPenaltyBox');
  const again = doing('RetryRequest');
  const of = (type: ErrorTypes, details: ErrorDetails, rest: Partial<Failed>): Failed => ({
    type,
    details,
    ...rest,
  });
  const playlist = (code: number, rest: Partial<Failed> = {}) =>
    of(NETWORK_ERROR, ErrorDetails.LEVEL_LOAD_ERROR, { context: { level: 1 }, response: { code }, ...rest });
  const media = (code: number, type: string, rest: Partial<Failed> = {}) =>
    of(NETWORK_ERROR, ErrorDetails.FRAG_LOAD_ERROR, {
      frag: { type, level: 1 },
      response: { code },
      ...rest,
    });
  const broken = { level: 1, fault: 'broken' };

  it.each<[string, Failed, unknown]>([
    ['a playlist that is not there any more', playlist(404, givenUp), { level: 1, fault: 'gone' }],
    ['a playlist that was taken away', playlist(410, givenUp), { level: 1, fault: 'gone' }],
    ['a playlist that is refused', playlist(403, givenUp), broken],
    ['a playlist that is asked for again', playlist(503, again), null],
    ['a playlist without an answer', playlist(0, givenUp), null],
    ['media that is refused', media(404, 'main', givenUp), broken],
    ['media that is asked for again', media(503, 'main', again), null],
    ['media without an answer', media(0, 'main', givenUp), null],
    ['sound that is refused', media(404, 'audio', givenUp), null],
    [
      'media that cannot be decoded',
      of(MEDIA_ERROR, ErrorDetails.BUFFER_APPEND_ERROR, { frag: { type: 'main', level: 1 }, ...givenUp }),
      broken,
    ],
    [
      'the streamer’s missing frames',
      of(MEDIA_ERROR, ErrorDetails.FRAG_GAP, { frag: { type: 'main', level: 1 }, ...givenUp }),
      null,
    ],
    ['something that has no level', of(NETWORK_ERROR, ErrorDetails.MANIFEST_LOAD_ERROR, givenUp), null],
  ])('about %s', (_, error, fault) => {
    expect(faultOf(error)).toEqual(fault);
  });
});
