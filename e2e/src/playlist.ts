/** What a test wants to know of a media playlist. */
export interface MediaPlaylist {
  text: string;
  mediaSequence: number;
  discontinuitySequence: number;
  /** Media sequence number of each segment, and whether it holds none of the broadcast: a gap, or what stands before the first media. */
  segments: { msn: number; gap: boolean; duration: number; uri: string; discontinuity: boolean }[];
  /** Those of the broadcast's own media. */
  parts: { uri: string; duration: number }[];
  targetDuration: number;
  partTarget: number | undefined;
  /** Its attributes as they stand; a closed playlist has none. */
  serverControl: string;
  ended: boolean;
}

/** The segments before it stand for what players want to see behind the first picture. */
export const FIRST_MSN = 7;

/** Reads a playlist; throws when it is none. */
export function parse(text: string): MediaPlaylist {
  if (!text.startsWith('#EXTM3U')) throw new Error(`not a playlist: ${text.slice(0, 80)}`);
  const number = (tag: string) => {
    const found = new RegExp(`^#${tag}:(\\d+)`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const playlist: MediaPlaylist = {
    text,
    mediaSequence: number('EXT-X-MEDIA-SEQUENCE') ?? 0,
    discontinuitySequence: number('EXT-X-DISCONTINUITY-SEQUENCE') ?? 0,
    targetDuration: number('EXT-X-TARGETDURATION') ?? 0,
    partTarget: Number(/PART-TARGET=([\d.]+)/.exec(text)?.[1]) || undefined,
    serverControl: /^#EXT-X-SERVER-CONTROL:(.*)$/m.exec(text)?.[1] ?? '',
    segments: [],
    parts: [],
    ended: text.includes('#EXT-X-ENDLIST'),
  };
  let duration = 0;
  let gap = false;
  let discontinuity = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('#EXTINF:')) duration = Number.parseFloat(line.slice(8));
    else if (line === '#EXT-X-GAP') gap = true;
    else if (line === '#EXT-X-DISCONTINUITY') discontinuity = true;
    else if (line.startsWith('#EXT-X-PART:')) {
      if (playlist.mediaSequence + playlist.segments.length < FIRST_MSN) continue;
      playlist.parts.push({
        uri: /URI="([^"]+)"/.exec(line)?.[1] ?? '',
        duration: Number(/[:,]DURATION=([\d.]+)/.exec(line)?.[1]),
      });
    } else if (line !== '' && !line.startsWith('#')) {
      const msn = playlist.mediaSequence + playlist.segments.length;
      playlist.segments.push({
        msn,
        gap: gap || msn < FIRST_MSN,
        duration,
        uri: line,
        discontinuity,
      });
      gap = false;
      discontinuity = false;
    }
  }
  return playlist;
}

export async function fetchText(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.text();
}

/** The source rendition's playlist of a stream. */
export async function source(master: string): Promise<MediaPlaylist> {
  return parse(await fetchText(new URL('source/index.m3u8', master).href));
}
