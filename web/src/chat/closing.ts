/** Whether a room takes nothing any more: it stays open for a while after its broadcast, for farewells. */
export function isClosed(endedAt: string | null, now: number): boolean {
  return endedAt !== null && now - Date.parse(endedAt) > CLOSES_MS;
}

/** The api's, in docs/realtime.md. */
const CLOSES_MS = 600_000;
