import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Source {
  /** Below `src`. */
  path: string;
  text: string;
}

/** The code of the pages without its tests and without the catalogues themselves; for the tests of the catalogues. */
export function sources(): Source[] {
  const root = join(import.meta.dirname, '../src');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|svelte)$/.test(path) && !/\.test\.ts$/.test(path) && !CATALOGUES.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

const CATALOGUES = /^language\/(en|es)(\/|\.ts$)/;
