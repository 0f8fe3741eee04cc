import type { Category } from '../api/streams.ts';

/** What of a category somebody changed; what is the same, or empty, is left out. */
export function categoryChanges(
  before: Category,
  typed: { name: string; slug: string },
): { name?: string; slug?: string } {
  const changes: { name?: string; slug?: string } = {};
  const [name, slug] = [typed.name.trim(), typed.slug.trim()];
  if (name !== '' && name !== before.name) changes.name = name;
  if (slug !== '' && slug !== before.slug) changes.slug = slug;
  return changes;
}

/** The api's limit for both. */
export const LONGEST_CATEGORY = 64;
