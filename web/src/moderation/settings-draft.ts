import type { ChatSettings } from '../api/moderation.ts';
import { duration } from '../language/format.ts';
import { t } from '../language/text.ts';

/** What is not as it was: two moderators may change different things at once. */
export function changesOf(before: ChatSettings, after: ChatSettings): Partial<ChatSettings> {
  const names = Object.keys(after) as (keyof ChatSettings)[];
  return Object.fromEntries(
    names.filter((name) => before[name] !== after[name]).map((name) => [name, after[name]]),
  );
}

/**
 * Which of the modes that silence most people can be switched: one that would silence everybody cannot be switched on,
 * but what a program has switched on can be switched off. `sold`: whether there can be subscribers.
 */
export const switchable = (
  before: ChatSettings,
  sold: boolean,
): { subsOnly: boolean; emoteOnly: boolean } => ({
  subsOnly: before.subsOnly || sold,
  // There are no emotes yet.
  emoteOnly: before.emoteOnly,
});

export interface Choice {
  /** Of an `<option>`. */
  value: string;
  words: string;
}

/** In seconds, with the one that holds, which a program may have chosen. */
export function slowChoices(current: number): Choice[] {
  return withCurrent(SLOW, current).map((seconds) => ({
    value: String(seconds),
    words: seconds === 0 ? t('moderation.off') : duration(seconds),
  }));
}

/** In minutes of following; empty is everybody. */
export function followerChoices(current: number | null): Choice[] {
  const followers = withCurrent(FOLLOWED, current ?? 0).map((minutes) => ({
    value: String(minutes),
    words:
      minutes === 0
        ? t('moderation.followersOnly')
        : t('moderation.followersFor', { time: duration(minutes * 60) }),
  }));
  return [{ value: '', words: t('moderation.everybody') }, ...followers];
}

function withCurrent(usual: readonly number[], current: number): number[] {
  return [...new Set([...usual, current])].sort((one, other) => one - other);
}

/** Seconds; the api takes two minutes at most. */
const SLOW = [0, 3, 5, 10, 30, 60, 120];
/** Minutes; the api takes three months at most. */
const FOLLOWED = [0, 10, 60, 1_440, 10_080, 43_200, 129_600];
