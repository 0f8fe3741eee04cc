import type { ProfileFields } from '../api/people.ts';

/** What the api is told: a field that was left empty is no name and no text. */
export function toSave({ displayName, bio }: { displayName: string; bio: string }): ProfileFields {
  return { displayName: textOrNone(displayName), bio: textOrNone(bio) };
}

function textOrNone(text: string): string | null {
  const trimmed = text.trim();
  return trimmed === '' ? null : trimmed;
}

/** The api's own limits, in characters. */
export const LONGEST_NAME = 50;
export const LONGEST_BIO = 500;
