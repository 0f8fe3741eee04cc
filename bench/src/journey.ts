import { FPS } from './clock.ts';
import { presentationTimes, timescale } from './fragment.ts';
import type { PageNotes } from './page-notes.ts';

/** When a frame came by each place, in milliseconds since 1970, in the order of the places. */
export interface Journey {
  made: number;
  /** Written by the encoder. */
  encoded: number;
  /** The last frame of its part was written. */
  partEncoded: number;
  /** The source's playlist names the part. */
  announced: number;
  asked: number;
  received: number;
  appended: number;
  /** The sound beside it is in the browser's buffer too. */
  playable: number;
  /** The play position is where the frame begins. */
  reached: number;
  /** The browser says that it handed the frame to the screen. */
  shown: number;
}

/** A frame as the page saw it. */
export interface SeenFrame {
  made: number;
  shown: number;
  /** Milliseconds of the element's timeline: of the frame, and of the play position when it was seen. */
  media: number;
  position: number;
}

/** What the publisher knows: when frames were drawn, and when which presentation time left the encoder. */
export interface PublisherNotes {
  made: number[];
  encoded: { presentation: number; at: number }[];
}

/** Puts together what is known of each frame. A frame of which anything is missing is left out. */
export function journeys(
  seen: SeenFrame[],
  publisher: PublisherNotes,
  announced: ReadonlyMap<string, number>,
  page: PageNotes,
): Journey[] {
  const encoded = inOrder(publisher.encoded).map(({ at }) => at);
  const numbers = new Map(publisher.made.map((made, number) => [made, number]));
  const parts = appendedParts(page);
  const byMedia = new Map(parts.video.flatMap((part) => part.times.map((time, index) => [Math.round(time), { part, index }] as const)));
  return seen.flatMap((frame) => {
    const number = numbers.get(frame.made);
    const media = Math.round(frame.media);
    const found = [0, -1, 1].map((off) => byMedia.get(media + off)).find(Boolean);
    if (number === undefined || !found) return [];
    const { part, index } = found;
    const own = part.times[index] ?? frame.media;
    const written = part.times.map((time) => encoded[number + Math.round(((time - own) * FPS) / 1000)] ?? Number.NaN);
    const sound = parts.audio.find(({ until }) => until > frame.media);
    const journey: Journey = {
      made: frame.made,
      encoded: encoded[number] ?? Number.NaN,
      partEncoded: Math.max(...written),
      announced: announced.get(part.file) ?? Number.NaN,
      asked: part.asked,
      received: part.received,
      appended: part.appended,
      playable: Math.max(part.appended, sound?.appended ?? part.appended),
      reached: frame.shown - Math.max(0, frame.position - frame.media),
      shown: frame.shown,
    };
    return Object.values(journey).every(Number.isFinite) ? [journey] : [];
  });
}

/** The k-th picture that was drawn is the k-th to be shown, whatever the order in which an encoder writes them. */
function inOrder(encoded: PublisherNotes['encoded']): PublisherNotes['encoded'] {
  return [...encoded].sort((a, b) => a.presentation - b.presentation);
}

interface Part {
  /** With its rendition's folder. */
  file: string;
  asked: number;
  received: number;
  appended: number;
  /** When its samples are shown, on the element's timeline, in that order. */
  times: number[];
  until: number;
}

function appendedParts({ loads, appends }: PageNotes): { video: Part[]; audio: Part[] } {
  const parts: { video: Part[]; audio: Part[] } = { video: [], audio: [] };
  const ticks = { video: 0, audio: 0 };
  for (const { video, head, bytes, from, done, offset } of appends) {
    const kind = video ? 'video' : 'audio';
    const boxes = Buffer.from(head, 'base64');
    ticks[kind] = timescale(boxes) ?? ticks[kind];
    const times = presentationTimes(boxes, ticks[kind])?.map((time) => time + offset).sort((a, b) => a - b);
    const load = loads.findLast((one) => one.bytes === bytes && one.received <= from);
    if (!times || !load) continue;
    parts[kind].push({
      file: new URL(load.url).pathname.split('/').slice(-2).join('/'),
      asked: load.asked,
      received: load.received,
      appended: done,
      times,
      until: Math.max(...times),
    });
  }
  return parts;
}
