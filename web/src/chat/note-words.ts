import { duration } from '../language/format.ts';
import { t } from '../language/text.ts';
import type { Note } from './room.ts';

/** What happened, for who keeps order. */
export function wordsForNote({ kind, username: name, durationSeconds }: Note): string {
  if (kind === 'unbanned') return t('moderation.mayTalkAgain', { name });
  if (kind === 'appointed') return t('moderation.madeModerator', { name });
  if (kind === 'dismissed') return t('moderation.removedModerator', { name });
  if (durationSeconds === null) return t('moderation.banned', { name });
  return t('moderation.timedOut', { name, time: duration(durationSeconds) });
}
