export interface LatencyEstimate {
  seconds: number;
  /** `clock`: between receiving the picture and showing it. `edge`: behind the newest media that was announced. */
  by: 'clock' | 'edge';
}

/**
 * How far behind the picture is. The stream's own clock (PROGRAM-DATE-TIME) tells it from receiving to showing, but
 * only where the viewer's clock is right; the distance from the live edge needs no clock and misses what the server
 * itself takes. The clock is believed only where the two agree as well as they should.
 */
export function estimateLatency(byClock: number | null, behindEdge: number | null): LatencyEstimate | null {
  const edge = behindEdge !== null && Number.isFinite(behindEdge) && behindEdge >= 0 ? behindEdge : null;
  if (byClock !== null && Number.isFinite(byClock) && byClock > 0) {
    const beyond = edge === null ? 0 : byClock - edge;
    if (beyond >= -EARLIEST && beyond <= LATEST) return { seconds: byClock, by: 'clock' };
  }
  return edge === null ? null : { seconds: edge, by: 'edge' };
}

/** Both are read a few milliseconds apart and the edge is an extrapolation. */
const EARLIEST = 0.15;
/** What ingest, packaging and the network may take; a difference beyond it is a wrong clock. */
const LATEST = 2.5;
