import { clip, isHeader, isKeyframe, isPicture, isSound, lengths, units, withData, type Tag } from './clip.ts';

/** A publisher as somebody met it, and what its viewers get. */
export interface Playable {
  /** A sentence. */
  name: string;
  tags: () => Tag[];
  /** Discontinuities from the first segment to the last. */
  breaks?: number;
  /** Segments without pictures, at most. */
  gaps?: number;
  /** Pictures that can be decoded, at least; without it nineteen of twenty that were sent. */
  pictures?: number;
  /** Whether the tone is heard or silence stands in for it. */
  sound?: 'heard' | 'silent';
  /** Browsers' decoders are stricter than ffmpeg. */
  browser?: boolean;
}

/** A publisher of whose media nothing can be played. */
export interface Unplayable {
  name: string;
  tags: () => Tag[];
  /** What it and the studio are told. */
  told: RegExp;
}

const later = (ms: number) => (tag: Tag): Tag => ({ ...tag, at: tag.at + ms, stamp: tag.stamp + ms });
const pictures = (change: (body: Buffer, tag: Tag) => Buffer) => (tag: Tag): Tag =>
  isPicture(tag) ? { ...tag, body: change(tag.body, tag) } : tag;
const stamped = (stamp: (tag: Tag) => number) => (tag: Tag): Tag => (isHeader(tag) ? tag : { ...tag, stamp: stamp(tag) });

/** The codec header with other bytes behind FLV's five. */
function header(tags: Tag[], change: (record: Buffer) => Buffer): Tag[] {
  return tags.map((tag) =>
    tag.kind === 'video' && isHeader(tag) ? { ...tag, body: Buffer.concat([tag.body.subarray(0, 5), change(tag.body.subarray(5))]) } : tag,
  );
}

/** A spare byte behind the sequence parameter set, counted as part of it. */
function padSps(record: Buffer): Buffer {
  const length = record.readUInt16BE(6);
  const padded = Buffer.concat([record.subarray(0, 8 + length), Buffer.from([0]), record.subarray(8 + length)]);
  padded.writeUInt16BE(length + 1, 6);
  return padded;
}

/** An ADTS header before a raw frame: AAC-LC, 48 kHz, stereo. */
function adts(frame: Buffer): Buffer {
  const length = frame.length + 7;
  const head = [0xff, 0xf1, 0x4c, 0x80 | (length >> 11), (length >> 3) & 0xff, ((length & 7) << 5) | 0x1f, 0xfc];
  return Buffer.concat([Buffer.from(head), frame]);
}

/** As Enhanced RTMP writes H.264. */
function underFourCc(tag: Tag): Tag {
  if (tag.kind !== 'video') return tag;
  const flags = (tag.body[0] ?? 0) & 0x70;
  const packet = isHeader(tag) ? 0 : 1;
  const rest = isHeader(tag) ? tag.body.subarray(5) : tag.body.subarray(2);
  return { ...tag, body: Buffer.concat([Buffer.from([0x80 | flags | packet]), Buffer.from('avc1'), rest]) };
}

/** The same pictures again, as the second track of a multitrack publisher. */
function asSecondTrack(tag: Tag): Tag[] {
  if (tag.kind !== 'video') return [tag];
  const flags = (tag.body[0] ?? 0) & 0x70;
  const rest = isHeader(tag) ? tag.body.subarray(5) : tag.body.subarray(2);
  const head = Buffer.from([0x80 | flags | 6, isHeader(tag) ? 0 : 1, ...Buffer.from('avc1'), 1]);
  return [tag, { ...tag, body: Buffer.concat([head, rest]) }];
}

const SEI = Buffer.from([6, 5, 1, 0, 0x80]);
const START_CODE = Buffer.from([0, 0, 0, 1]);
const annexB = (all: Buffer[]): Buffer => Buffer.concat(all.flatMap((unit) => [START_CODE, unit]));
const shift = (body: Buffer, ms: number): Buffer => {
  const shifted = Buffer.from(body);
  shifted.writeIntBE(body.readIntBE(2, 3) + ms, 2, 3);
  return shifted;
};
const flagged = (body: Buffer, kind: number): Buffer => Buffer.concat([Buffer.from([(kind << 4) | 7]), body.subarray(1)]);

/** Every publisher of the list that can be played. */
export const PLAYABLE: Playable[] = [
  {
    name: 'a camera that wakes two seconds after the sound is seen',
    tags: () => clip().flatMap((tag) => (tag.kind !== 'video' ? [tag] : isHeader(tag) ? [later(1_990)(tag)] : tag.at >= 2_000 ? [tag] : [])),
    pictures: 280,
  },
  {
    name: 'a camera that nobody announced and that wakes six seconds late joins the sound',
    tags: () => clip().flatMap((tag) =>
      tag.kind === 'data' ? [] : tag.kind === 'audio' ? [tag] : isHeader(tag) ? [later(5_990)(tag)] : tag.at >= 6_000 ? [tag] : []),
    breaks: 1,
    pictures: 180,
  },
  { name: 'surround sound in an order that has no number is silence', tags: () => clip({ audio: ['-af', 'pan=5.1(side)|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0'] }), sound: 'silent', browser: true },
  { name: 'sound without a header is silence', tags: () => clip().filter((tag) => !(tag.kind === 'audio' && isHeader(tag))), sound: 'silent', browser: true },
  {
    name: 'sound whose frames say how they are to be decoded, as ADTS does',
    tags: () => clip().flatMap((tag) =>
      tag.kind !== 'audio' ? [tag] : isHeader(tag) ? [] : [{ ...tag, body: Buffer.concat([tag.body.subarray(0, 2), adts(tag.body.subarray(2))]) }]),
    sound: 'heard',
    browser: true,
  },
  {
    name: 'sound that comes more than a second behind its pictures is heard',
    tags: () => clip({ seconds: 20 }).map((tag) => (tag.kind === 'audio' ? { ...tag, at: tag.at + 1_300 } : tag)),
    sound: 'heard',
  },
  {
    name: 'a message with nothing but a remark before each picture',
    tags: () => clip().flatMap((tag) => (isPicture(tag) ? [{ ...tag, body: withData(flagged(tag.body, 2), lengths([SEI])) }, tag] : [tag])),
    browser: true,
  },
  { name: 'an empty unit before each slice', tags: () => clip().map(pictures((body) => withData(body, lengths([Buffer.alloc(0), ...units(body)])))), browser: true },
  { name: 'three spare zero bytes behind each picture', tags: () => clip().map(pictures((body) => Buffer.concat([body, Buffer.alloc(3)]))), browser: true },
  { name: 'start codes in place of lengths', tags: () => clip().map(pictures((body) => withData(body, annexB(units(body))))), browser: true },
  { name: 'a spare byte behind the codec header', tags: () => header(clip({ profile: 'baseline' }), (record) => Buffer.concat([record, Buffer.alloc(1)])), browser: true },
  { name: 'a spare byte behind the sequence parameter set', tags: () => header(clip(), padSps), browser: true },
  { name: 'a video clock that begins anew under running sound is one discontinuity', tags: () => clip().map(stamped(({ kind, stamp }) => (kind === 'video' && stamp >= 6_000 ? stamp - 6_000 : 60_000 + stamp))), breaks: 1, browser: true },
  { name: 'clocks an hour apart', tags: () => clip().map(stamped(({ kind, stamp }) => (kind === 'video' ? stamp + 3_600_000 : stamp))), sound: 'heard' },
  { name: 'clocks three and a half seconds apart', tags: () => clip().map(stamped(({ kind, stamp }) => (kind === 'video' ? stamp + 3_500 : stamp))), sound: 'heard' },
  { name: 'timestamps that pass 32 bits', tags: () => clip().map(stamped(({ stamp }) => 2 ** 32 - 6_000 + stamp)), sound: 'heard' },
  { name: 'timestamps that pass 31 bits', tags: () => clip().map(stamped(({ stamp }) => 2 ** 31 - 6_000 + stamp)), sound: 'heard' },
  { name: 'keyframes that are called inter pictures', tags: () => clip().map(pictures((body) => flagged(body, 2))), browser: true },
  { name: 'inter pictures that are called keyframes', tags: () => clip().map(pictures((body) => flagged(body, 1))), browser: true },
  { name: 'an intra refresh in place of keyframes', tags: () => clip({ x264: 'intra-refresh=1' }), browser: true },
  {
    name: 'pictures that do not change are skipped for four seconds of six',
    tags: () => clip({ seconds: 24, gop: 150 }).filter((tag) => !isPicture(tag) || tag.at % 6_000 < 2_000),
    gaps: 2,
    pictures: 180,
    browser: true,
  },
  { name: 'a slide every two and a half seconds', tags: () => clip({ seconds: 20, gop: 1 }).filter((tag) => !isPicture(tag) || tag.at % 2_520 < 40), pictures: 8, browser: true },
  { name: 'a slide every four and a half seconds', tags: () => clip({ seconds: 24, gop: 1 }).filter((tag) => !isPicture(tag) || tag.at % 4_520 < 40), pictures: 6 },
  { name: 'reordered pictures that are shown before they are decoded', tags: () => clip({ bFrames: 2 }).map(pictures((body) => shift(body, -80))), browser: true },
  { name: 'a second and a half that are sent again with their old times', tags: () => clip().map(stamped(({ stamp }) => (stamp >= 6_000 ? stamp - 1_500 : stamp))), breaks: 1 },
  { name: 'both clocks that are set back by half a minute', tags: () => clip().map(stamped(({ stamp }) => (stamp >= 6_000 ? 60_000 + stamp - 29_000 : 60_000 + stamp))), breaks: 1 },
  { name: 'H.264 under its four characters', tags: () => clip().map(underFourCc), browser: true },
  { name: 'a second track beside the first', tags: () => clip().flatMap(asSecondTrack), pictures: 330 },
];

const withoutKeyframes = (tags: Tag[]): Tag[] => tags.filter((tag) => !isKeyframe(tag));
const withoutSound = (tags: Tag[]): Tag[] => tags.filter(({ kind }) => kind !== 'audio');
/** Long enough to be given up. */
const LONG = { seconds: 45 };

/** Those of whose media nothing can be played. */
export const UNPLAYABLE: Unplayable[] = [
  {
    name: 'pictures without any keyframe, and no sound',
    tags: () => withoutKeyframes(withoutSound(clip(LONG))),
    told: /video came, but no keyframe; no sound came/,
  },
  {
    name: 'pictures whose header never comes',
    tags: () => withoutSound(clip(LONG)).filter((tag) => !isHeader(tag)),
    told: /video came without a codec header; no sound came/,
  },
  {
    name: 'pictures behind a header that cannot be read',
    tags: () => header(withoutSound(clip(LONG)), (record) => record.subarray(0, 4)),
    told: /the video cannot be used \(.+\); no sound came/,
  },
  {
    name: 'sound without a header alone',
    tags: () => clip(LONG).filter(isSound),
    told: /no video came; sound came without a codec header/,
  },
  {
    name: 'AV1 inside an extension',
    tags: () => withoutSound(clip(LONG)).map((tag) => ({ ...tag, body: Buffer.from('\x97\x02\0\0\0\x01av01\0\0\0obu', 'latin1') })),
    told: /the video cannot be used \(av01 is not supported\); no sound came/,
  },
  {
    name: 'AV1 by its name',
    tags: () => withoutSound(clip(LONG)).map((tag) => ({ ...tag, body: Buffer.from('\x91av01\0\0\0obu', 'latin1') })),
    told: /av01 is not supported/,
  },
  { name: 'MP3', tags: () => clip(LONG).filter(isSound).map((tag) => ({ ...tag, body: Buffer.from('\x2f\xff\xfb\x90', 'latin1') })), told: /MP3 is not supported/ },
];
