import { category as en } from './en/category.ts';
import { t } from './text.ts';

/**
 * What a category is called in the language of the pages, if it is one of those that every installation begins with and
 * still has the name that it began with. Names that an admin gave are shown as they were given.
 */
export function categoryName({ name, slug }: { name: string; slug: string }): string {
  const key = SEEDED.get(slug);
  return key !== undefined && name === en[key] ? t(key) : name;
}

/** As the api's migration 0007 makes them, by slug. */
export const SEEDED: ReadonlyMap<string, keyof typeof en> = new Map([
  ['art', 'category.art'],
  ['cooking', 'category.cooking'],
  ['education', 'category.education'],
  ['events', 'category.events'],
  ['fitness', 'category.fitness'],
  ['games', 'category.games'],
  ['just-chatting', 'category.justChatting'],
  ['music', 'category.music'],
  ['news', 'category.news'],
  ['outdoors', 'category.outdoors'],
  ['programming', 'category.programming'],
  ['science', 'category.science'],
  ['sports', 'category.sports'],
  ['talk', 'category.talk'],
  ['travel', 'category.travel'],
]);
