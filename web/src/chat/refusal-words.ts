import type { PlainKey } from '../language/catalogue.ts';
import { t } from '../language/text.ts';
import { LONGEST } from './draft.ts';
import type { Refusal } from './frames.ts';

/** What to tell somebody whose message was not said, or not removed. How long to wait is shown beside it. */
export function wordsForRefusal({ code, detail }: Refusal): string {
  if (code === 'too_long') return t('chat.refusedTooLong', { most: LONGEST });
  const key = WORDS.get(code);
  return key === undefined ? sentence(detail) : t(key);
}

function sentence(detail: string): string {
  if (detail === '') return t('problem.refused');
  return `${detail.slice(0, 1).toUpperCase()}${detail.slice(1)}${/[.!?]$/.test(detail) ? '' : '.'}`;
}

const WORDS: ReadonlyMap<string, PlainKey> = new Map([
  ['too_fast', 'chat.refusedTooFast'],
  ['room_busy', 'chat.refusedBusy'],
  ['repeated', 'chat.refusedRepeated'],
  ['too_short', 'chat.saySomething'],
  ['invalid', 'chat.refusedCharacters'],
  ['ended', 'chat.ended'],
  ['not_found', 'chat.refusedGone'],
  ['forbidden', 'chat.refusedForbidden'],
  ['protected', 'moderation.refusedProtected'],
  ['oneself', 'moderation.refusedProtected'],
  ['too_many', 'moderation.refusedFull'],
  ['banned_here', 'moderation.forGood'],
  ['timed_out', 'moderation.refusedTimedOut'],
  ['slow', 'moderation.refusedSlow'],
  ['followers_only', 'moderation.refusedFollowers'],
  ['subs_only', 'moderation.refusedSubs'],
  ['emotes_only', 'moderation.refusedEmotes'],
  ['not_unique', 'moderation.refusedUnique'],
  ['blocked_term', 'moderation.refusedBlockedTerm'],
  ['links_blocked', 'moderation.refusedLinks'],
  ['not_connected', 'chat.refusedNotConnected'],
  ['unavailable', 'chat.refusedAway'],
  ['overloaded', 'chat.refusedAway'],
  ['unauthenticated', 'chat.refusedLogin'],
  ['token_invalid', 'chat.refusedLogin'],
  ['token_expired', 'chat.refusedLogin'],
  ['session_revoked', 'chat.refusedLogin'],
  ['too_late', 'chat.refusedTooLate'],
  ['refused', 'chat.refusedNotUnderstood'],
  ['malformed', 'chat.refusedNotUnderstood'],
]);
