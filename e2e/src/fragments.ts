/** When the media of a fragment begins and ends, and how long its longest frame is, in seconds. */
export interface Span {
  from: number;
  to: number;
  longest: number;
}

/** Ticks a second, as the init of a rendition of one track says. */
export function timescale(init: Buffer): number {
  const header = only(init, 'moov', 'trak', 'mdia', 'mdhd');
  return header.readUInt32BE(header[0] === 1 ? 20 : 12);
}

/** A part, or a whole segment, of a rendition of one track. */
export function span(media: Buffer, ticks: number): Span {
  const found: Span = { from: Infinity, to: 0, longest: 0 };
  for (const fragment of boxes(media, 'moof')) {
    const start = only(fragment, 'traf', 'tfdt');
    let at = start[0] === 1 ? Number(start.readBigUInt64BE(4)) : start.readUInt32BE(4);
    found.from = Math.min(found.from, at / ticks);
    const usual = usualDuration(only(fragment, 'traf', 'tfhd'));
    for (const traf of boxes(fragment, 'traf')) {
      for (const run of boxes(traf, 'trun')) {
        for (const duration of durations(run, usual)) {
          at += duration;
          found.longest = Math.max(found.longest, duration / ticks);
        }
      }
    }
    found.to = Math.max(found.to, at / ticks);
  }
  if (found.from === Infinity) throw new Error(`no fragment in ${media.length} bytes`);
  return found;
}

/** The bodies of the boxes of one kind that lie side by side in `data`. */
function* boxes(data: Buffer, kind: string): Generator<Buffer> {
  for (let at = 0; at + 8 <= data.length; ) {
    const length = data.readUInt32BE(at);
    if (length < 8 || at + length > data.length) throw new Error(`a box of ${length} bytes where ${data.length - at} are left`);
    if (data.toString('latin1', at + 4, at + 8) === kind) yield data.subarray(at + 8, at + length);
    at += length;
  }
}

/** The body of the first box there. */
function only(data: Buffer, ...path: string[]): Buffer {
  return path.reduce((inside, kind) => {
    const [first] = boxes(inside, kind);
    if (!first) throw new Error(`no ${kind} where ${path.join('/')} was expected`);
    return first;
  }, data);
}

/** What a `tfhd` says of frames whose `trun` does not say how long they are (ISO/IEC 14496-12, 8.8.7). */
function usualDuration(header: Buffer): number {
  const flags = header.readUIntBE(1, 3);
  if (!(flags & 0x08)) return 0;
  return header.readUInt32BE(8 + (flags & 0x01 ? 8 : 0) + (flags & 0x02 ? 4 : 0));
}

/** Of each frame of a `trun` (8.8.8). */
function* durations(run: Buffer, usual: number): Generator<number> {
  const flags = run.readUIntBE(1, 3);
  const fields = [0x100, 0x200, 0x400, 0x800].filter((flag) => flags & flag).length;
  let at = 8 + (flags & 0x01 ? 4 : 0) + (flags & 0x04 ? 4 : 0);
  for (let count = run.readUInt32BE(4); count > 0; count -= 1, at += 4 * fields) {
    yield flags & 0x100 ? run.readUInt32BE(at) : usual;
  }
}
