import type { ChatSettings } from '../api/moderation.ts';
import { asRecord, numberOf } from './json-values.ts';

/** What a room allows, as its events say it; `null` while the server does not know, or has no moderation. */
export function readSettings(value: unknown): ChatSettings | null {
  const data = asRecord(value);
  if (data === null) return null;
  return {
    slowSeconds: numberOf(data['slowSeconds']) ?? 0,
    followersOnlyMinutes: numberOf(data['followersOnlyMinutes']),
    subsOnly: data['subsOnly'] === true,
    emoteOnly: data['emoteOnly'] === true,
    uniqueOnly: data['uniqueOnly'] === true,
    links: data['links'] === 'block' ? 'block' : 'allow',
  };
}
