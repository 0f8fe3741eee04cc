import { describe, expect, it } from 'vitest';
import { qualitiesOf } from './qualities.ts';

const AUDIO = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Sound",URI="audio/index.m3u8"';
const variant = (name: string, attributes: string) =>
  `#EXT-X-STREAM-INF:BANDWIDTH=1,${attributes}\n${name}/index.m3u8`;

describe('the number of qualities', () => {
  it.each([
    [
      'leaves the sound out',
      [AUDIO, variant('source', 'RESOLUTION=1280x720'), variant('360p', 'RESOLUTION=640x360')],
      2,
    ],
    ['is none for sound alone', [variant('audio', 'CODECS="mp4a.40.2"')], 0],
    [
      'counts a picture once, with whatever sound',
      [variant('source', 'RESOLUTION=1x1,AUDIO="a"'), variant('source', 'RESOLUTION=1x1,AUDIO="b"')],
      1,
    ],
    ['is none of an empty list', [], 0],
  ])('%s', (_, lines, count) => {
    expect(qualitiesOf(['#EXTM3U', ...lines].join('\n'))).toBe(count);
  });
});
