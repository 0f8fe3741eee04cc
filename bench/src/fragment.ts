/** Presentation times in the head of a CMAF fragment, as far as Caudal writes them (ISO/IEC 14496-12 §8.8). */

/** Ticks a second of the one track that an init segment describes; undefined when it is none. */
export function timescale(init: Buffer): number | undefined {
  const mdhd = find(init, ['moov', 'trak', 'mdia', 'mdhd']);
  if (!mdhd) return undefined;
  return mdhd.readUInt32BE(mdhd.readUInt8(0) === 1 ? 20 : 12);
}

/** When each sample of a fragment is presented, in milliseconds; undefined when there is no fragment. */
export function presentationTimes(fragment: Buffer, ticks: number): number[] | undefined {
  const [tfhd, tfdt, trun] = ['tfhd', 'tfdt', 'trun'].map((name) => find(fragment, ['moof', 'traf', name]));
  if (!tfhd || !tfdt || !trun) return undefined;
  const usual = usualDuration(tfhd);
  const flags = trun.readUIntBE(1, 3);
  const at = (flag: number): number => ((flags & flag) !== 0 ? 4 : 0);
  let decode = tfdt.readUInt8(0) === 1 ? Number(tfdt.readBigUInt64BE(4)) : tfdt.readUInt32BE(4);
  let position = 8 + at(DATA_OFFSET) + at(FIRST_FLAGS);
  return Array.from({ length: trun.readUInt32BE(4) }, () => {
    const reorder = position + at(DURATION) + at(SIZE) + at(FLAGS);
    const shown = decode + (at(REORDER) ? trun.readInt32BE(reorder) : 0);
    decode += at(DURATION) ? trun.readUInt32BE(position) : usual;
    position = reorder + at(REORDER);
    return (shown * 1000) / ticks;
  });
}

function usualDuration(tfhd: Buffer): number {
  const flags = tfhd.readUIntBE(1, 3);
  if ((flags & 0x8) === 0) return 0;
  return tfhd.readUInt32BE(8 + ((flags & 0x1) !== 0 ? 8 : 0) + ((flags & 0x2) !== 0 ? 4 : 0));
}

/** What is in the first box under this path. A box whose end is cut off counts as far as it goes. */
function find(data: Buffer, [name, ...rest]: string[]): Buffer | undefined {
  if (name === undefined) return data;
  for (let position = 0; position + 8 <= data.length; ) {
    const size = data.readUInt32BE(position);
    if (data.toString('latin1', position + 4, position + 8) === name) return find(data.subarray(position + 8, position + size), rest);
    if (size < 8) return undefined;
    position += size;
  }
  return undefined;
}

const DATA_OFFSET = 0x1;
const FIRST_FLAGS = 0x4;
const DURATION = 0x100;
const SIZE = 0x200;
const FLAGS = 0x400;
const REORDER = 0x800;
