import type { ChatSettings } from '../api/moderation.ts';
import { duration } from '../language/format.ts';
import { t } from '../language/text.ts';

/** What holds in a chat, in words; nothing where anything goes. */
export function rulesInForce(settings: ChatSettings): string[] {
  const { slowSeconds, followersOnlyMinutes, subsOnly, emoteOnly, uniqueOnly, links } = settings;
  return [
    slowSeconds > 0 && slowWords(slowSeconds),
    followersOnlyMinutes !== null && followersWords(followersOnlyMinutes),
    subsOnly && t('moderation.subsOnly'),
    emoteOnly && t('moderation.emoteOnly'),
    uniqueOnly && t('moderation.uniqueOnly'),
    links === 'block' && t('moderation.linksBlocked'),
  ].filter((words) => words !== false);
}

/** What a change says of each thing that it has changed. */
export function rulesChanged(change: Partial<ChatSettings>): string[] {
  const { slowSeconds, followersOnlyMinutes, subsOnly, emoteOnly, uniqueOnly, links } = change;
  return [
    slowSeconds !== undefined && slowWords(slowSeconds),
    followersOnlyMinutes !== undefined && followersWords(followersOnlyMinutes),
    subsOnly !== undefined && t(subsOnly ? 'moderation.subsOnly' : 'moderation.subsOnlyOff'),
    emoteOnly !== undefined && t(emoteOnly ? 'moderation.emoteOnly' : 'moderation.emoteOnlyOff'),
    uniqueOnly !== undefined && t(uniqueOnly ? 'moderation.uniqueOnly' : 'moderation.uniqueOnlyOff'),
    links !== undefined && t(links === 'block' ? 'moderation.linksBlocked' : 'moderation.linksAllowed'),
  ].filter((words) => words !== false);
}

function slowWords(seconds: number): string {
  return seconds === 0 ? t('moderation.slowOff') : t('moderation.slow', { time: duration(seconds) });
}

function followersWords(minutes: number | null): string {
  if (minutes === null) return t('moderation.followersOnlyOff');
  if (minutes === 0) return t('moderation.followersOnly');
  return t('moderation.followersOnlyFor', { time: duration(minutes * 60) });
}
