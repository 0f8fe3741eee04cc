/** How a connection ended. */
export interface End {
  /** Of the WebSocket's close frame; 1006 when there was none. */
  code: number;
  /** The code of the server's last `error` frame on this connection. */
  error: string | null;
}

/** What to do about it. */
export type Return =
  | { kind: 'never' }
  /** `token`: the one that was used has ended. `frame`: what was sent last is not understood, and is not sent again. */
  | { kind: 'after'; ms: number; spoilt: 'nothing' | 'token' | 'frame' };

/**
 * When to come back, and with what (close codes of docs/realtime.md). `attempt` counts the connections in a row that did not
 * last; `random` is 0 to 1 and spreads the viewers of a server that went away.
 */
export function afterEnd({ code, error }: End, attempt: number, random: number): Return {
  const usual = attempt === 0 ? SOON_MS * random : backoff(attempt, random);
  switch (code) {
    case SERVER_STOPS:
      // Another replica takes over at once; a single server needs a moment to start.
      return { kind: 'after', ms: Math.max(usual, STOPPING_MS * (0.5 + random)), spoilt: 'nothing' };
    case NOT_UNDERSTOOD:
      return { kind: 'after', ms: Math.max(usual, BUG_MS), spoilt: 'frame' };
    // Banned: whoever still looks is somebody without a log-in now.
    case BANNED:
    case TOKEN_ENDED:
      return { kind: 'after', ms: attempt === 0 ? 0 : usual, spoilt: 'token' };
    case NO_ROOM:
      if (error === 'not_found') return { kind: 'never' };
      return { kind: 'after', ms: Math.max(usual, UNAVAILABLE_MS * (1 + random)), spoilt: 'nothing' };
    case TOO_MANY_FRAMES:
      return { kind: 'after', ms: Math.max(usual, FRAMES_WINDOW_MS), spoilt: 'nothing' };
    case TOO_SLOW:
    default:
      return { kind: 'after', ms: usual, spoilt: 'nothing' };
  }
}

function backoff(attempt: number, random: number): number {
  return Math.min(FIRST_MS * 2 ** (attempt - 1), LONGEST_MS) * (0.5 + random / 2);
}

const SERVER_STOPS = 1001;
const NOT_UNDERSTOOD = 4400;
const TOKEN_ENDED = 4401;
const BANNED = 4403;
const NO_ROOM = 4404;
const TOO_SLOW = 4408;
const TOO_MANY_FRAMES = 4429;

/** The first return: a short cut of the network is over by then, and a thousand viewers do not come in one instant. */
const SOON_MS = 800;
const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;
const STOPPING_MS = 1_000;
/** What the server asks for in the same case of a request (`RETRY_SECONDS` in api/src/error.rs). */
const UNAVAILABLE_MS = 3_000;
const BUG_MS = 5_000;
/** Sixty frames are allowed in so long. */
const FRAMES_WINDOW_MS = 30_000;
