import type { Session } from '../api/session.ts';
import { MOST_LINES } from './conversation.ts';
import { readLines, type Line } from './frames.ts';
import { comparePositions, type Room } from './room.ts';

/** Reads back, page by page, what was said before the oldest line of a room. */
export class OlderPages {
  #cursor: string | null = null;
  /** The oldest line when `#cursor` was given; with another one the pages begin anew. */
  #oldest: string | undefined;
  /** Nothing older is left. */
  #exhausted = false;

  constructor(
    private readonly session: Session,
    private readonly streamId: string,
  ) {}

  /** Whether there may be more that can be shown. A room as long as a newcomer's has more, until it is known better. */
  hasMore({ lines }: Room): boolean {
    if (lines.length === 0 || lines.length > MOST_LINES - LARGEST_PAGE) return false;
    return lines[0]?.id === this.#oldest ? !this.#exhausted : lines.length >= ENTRY_LINES;
  }

  /** The next page, the oldest first; empty at the beginning of the room. */
  async next(room: Room): Promise<Line[]> {
    const oldest = room.lines[0];
    let path = oldest?.id === this.#oldest ? this.#cursor : null;
    path ??= latestPath(this.streamId);
    for (;;) {
      const { items, next }: { items: unknown[]; next: string | null } =
        await this.session.page<unknown>(path);
      const lines = readLines(items).reverse();
      const older = lines.filter((line) => oldest === undefined || comparePositions(line, oldest) < 0);
      if (older.length > 0 || next === null) {
        this.#cursor = next;
        this.#exhausted = next === null;
        this.#oldest = (older[0] ?? oldest)?.id;
        return older;
      }
      path = next;
    }
  }
}

/** The latest page of a room's history, the oldest first. */
export async function latestPage(session: Session, streamId: string): Promise<Line[]> {
  return readLines((await session.page<unknown>(latestPath(streamId))).items).reverse();
}

/** The api's own limit. Of the first page half is known already. */
const LARGEST_PAGE = 100;
const latestPath = (streamId: string) => `/api/chat/${encodeURIComponent(streamId)}?limit=${LARGEST_PAGE}`;
/** Of the fifty that a newcomer gets some may have been removed. */
const ENTRY_LINES = 40;
