import { count } from './en/count.ts';
import { home } from './en/home.ts';
import { ui } from './en/ui.ts';

/** Every text of the pages, in English: other languages have the same keys. A file of `en/` holds the keys that begin with its name. */
export const en = { ...count, ...home, ...ui } as const;
