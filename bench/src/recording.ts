import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { FlvReader, type FlvTag } from '../../e2e/src/flv.ts';
import { Program } from '../../e2e/src/process.ts';

/** What a recording is of: 30 pictures a second, a keyframe every two seconds, 20 s long. */
export interface Kind {
  size: string;
  bitrate: string;
}

/** What the figures are about. */
export const FULL: Kind = { size: '1920x1080', bitrate: '6M' };
/** Where the number of streams or of viewers is what is measured. */
export const SMALL: Kind = { size: '640x360', bitrate: '300k' };

/** A stream that was encoded beforehand, so that no encoder is in what is measured. */
export class Recording {
  readonly file: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.file = path.join(folder, 'input.flv');
  }

  static async make({ size, bitrate }: Kind): Promise<Recording> {
    const recording = new Recording(await mkdtemp(path.join(tmpdir(), 'caudal-bench-')));
    const made = new Program('ffmpeg', [
      '-v', 'error', '-nostdin', '-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=30,noise=alls=12:allf=t`,
      '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000', '-t', '20', '-c:v', 'libx264', '-preset', 'ultrafast',
      '-g', '60', '-keyint_min', '60', '-sc_threshold', '0', '-b:v', bitrate, '-maxrate', bitrate, '-bufsize', bitrate,
      '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '128k', recording.file,
    ]);
    if ((await made.exited()) !== 0) throw new Error(`the recording could not be made: ${made.stderr}`);
    return recording;
  }

  async tags(): Promise<FlvTag[]> {
    return new FlvReader().push(await readFile(this.file));
  }

  remove(): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true });
  }
}
