import { tierName } from '../billing/tier-words.ts';
import { duration } from '../language/format.ts';
import { t } from '../language/text.ts';
import { fullNameOf } from '../ui/names.ts';
import type { Note, Thanks } from './room.ts';

/** What happened: for who keeps order, but who subscribes for everybody. */
export function wordsForNote(note: Note | Thanks): string {
  if (note.kind === 'subscribed') return wordsForThanks(note);
  const { kind, username: name, durationSeconds } = note;
  if (kind === 'unbanned') return t('moderation.mayTalkAgain', { name });
  if (kind === 'appointed') return t('moderation.madeModerator', { name });
  if (kind === 'dismissed') return t('moderation.removedModerator', { name });
  if (durationSeconds === null) return t('moderation.banned', { name });
  return t('moderation.timedOut', { name, time: duration(durationSeconds) });
}

function wordsForThanks({ user, tier: word, months: count }: Thanks): string {
  const [name, tier] = [fullNameOf(user), tierName(word)];
  return count > 1 ? t('chat.subscribesFor', { name, tier, count }) : t('chat.subscribes', { name, tier });
}
