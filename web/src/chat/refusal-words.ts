import type { Refusal } from './frames.ts';

/** What to tell somebody whose message was not said, or not removed. How long to wait is shown beside it. */
export function wordsForRefusal({ code, detail }: Refusal): string {
  return WORDS.get(code) ?? sentence(detail);
}

function sentence(detail: string): string {
  if (detail === '') return 'The server did not accept this.';
  return `${detail.slice(0, 1).toUpperCase()}${detail.slice(1)}${/[.!?]$/.test(detail) ? '' : '.'}`;
}

const LOGGED_OUT = 'Not sent: your log-in could not be checked. Please try again, or log in anew.';
const AWAY = 'Not sent: chat is not available just now.';
const WORDS: ReadonlyMap<string, string> = new Map([
  ['too_fast', 'Not so fast.'],
  ['room_busy', 'Everybody is talking at once.'],
  ['repeated', 'You have just said that.'],
  ['ended', 'This chat has ended.'],
  ['unavailable', AWAY],
  ['overloaded', AWAY],
  ['unauthenticated', LOGGED_OUT],
  ['token_invalid', LOGGED_OUT],
  ['token_expired', LOGGED_OUT],
  ['session_revoked', LOGGED_OUT],
  ['too_late', 'Not sent: the connection was away for too long.'],
  ['refused', 'Not sent: the server did not understand it.'],
]);
