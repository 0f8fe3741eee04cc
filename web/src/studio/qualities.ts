import { deadline } from '../api/deadline.ts';

/**
 * How many pictures a viewer can choose between, by the playlist that players read: a worker makes fewer of them than
 * its ladder has rungs where the machine or the source does not allow more, and the sound is none of them.
 */
export function qualitiesOf(masterPlaylist: string): number {
  const lines = masterPlaylist.split(/\r?\n/);
  const addresses = lines.flatMap((line, at) => {
    if (!line.startsWith('#EXT-X-STREAM-INF:') || !/[:,]RESOLUTION=/.test(line)) return [];
    return lines.slice(at + 1).find((next) => next !== '' && !next.startsWith('#')) ?? [];
  });
  return new Set(addresses).size;
}

/** `null` while that is not known. */
export async function askQualities(streamUrl: string): Promise<number | null> {
  const limit = deadline(ANSWER_MS);
  try {
    const answer = await fetch(streamUrl, { signal: limit.signal });
    return answer.ok ? qualitiesOf(await answer.text()) : null;
  } catch {
    return null;
  } finally {
    limit.met();
  }
}

const ANSWER_MS = 5_000;
