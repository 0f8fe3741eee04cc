import { spawnSync } from 'node:child_process';

import { FlvReader } from './flv.ts';

/** One message of a publisher. */
export interface Tag {
  kind: 'video' | 'audio' | 'data';
  /** When it is sent, in milliseconds from the beginning. */
  at: number;
  /** What it says of its time, modulo 2^32. */
  stamp: number;
  /** FLV's VIDEODATA, AUDIODATA or SCRIPTDATA. */
  body: Buffer;
}

export interface ClipSettings {
  seconds?: number;
  /** Frames from one keyframe to the next; there are 25 a second. */
  gop?: number;
  bFrames?: number;
  /** More of x264's settings. */
  x264?: string;
  profile?: string;
  /** Arguments for the sound. */
  audio?: string[];
}

/** A test picture and a tone, each tag to be sent when it says. Encoded anew each time: tests alter it. */
export function clip({ seconds = 14, gop = 50, bFrames = 0, x264 = '', profile = 'high', audio = [] }: ClipSettings = {}): Tag[] {
  const { stdout, stderr, status } = spawnSync(
    'ffmpeg',
    [
      '-v', 'error', '-nostdin',
      '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
      '-t', String(seconds),
      '-c:v', 'libx264', '-preset', 'ultrafast', '-profile:v', profile, '-pix_fmt', 'yuv420p', '-threads', '1',
      '-x264-params', ['scenecut=0', `keyint=${gop}`, `min-keyint=${gop}`, `bframes=${bFrames}`, 'b-adapt=0', ...(x264 ? [x264] : [])].join(':'),
      '-b:v', '300k', '-c:a', 'aac', '-b:a', '96k', ...(audio.length > 0 ? audio : ['-ac', '2']),
      '-f', 'flv', '-flvflags', 'no_duration_filesize', 'pipe:1',
    ],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  if (status !== 0) throw new Error(`ffmpeg: ${stderr.toString()}`);
  const kinds: Record<number, Tag['kind']> = { 8: 'audio', 9: 'video', 18: 'data' };
  return new FlvReader().push(stdout).flatMap(({ type, timestamp, bytes }) => {
    const kind = kinds[type];
    // Head and tail of the tag in a file.
    return kind ? [{ kind, at: timestamp, stamp: timestamp, body: Buffer.from(bytes.subarray(11, -4)) }] : [];
  });
}

export const isHeader = ({ kind, body }: Tag): boolean => kind !== 'data' && body[1] === 0;
export const isPicture = ({ kind, body }: Tag): boolean => kind === 'video' && body[1] === 1;
export const isSound = ({ kind, body }: Tag): boolean => kind === 'audio' && body[1] === 1;
/** As FLV flags it. */
export const isKeyframe = (tag: Tag): boolean => isPicture(tag) && ((tag.body[0] ?? 0) >> 4) === 1;

/** The units of a picture's body, without their lengths. */
export function units(body: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 5; at + 4 <= body.length; ) {
    const length = body.readUInt32BE(at);
    found.push(body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

/** A picture's body with these bytes in place of its units. */
export const withData = (body: Buffer, data: Buffer): Buffer => Buffer.concat([body.subarray(0, 5), data]);

/** Units behind their lengths. */
export const lengths = (all: Buffer[]): Buffer =>
  Buffer.concat(all.flatMap((unit) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(unit.length);
    return [length, unit];
  }));
