import { chunk } from '../routing/chunk.ts';
import type { Catalogue } from './catalogue.ts';
import { en } from './en.ts';
import { chosen, OTHERS, type Choice, type Tag } from './languages.ts';
import { languageMemory } from './language-memory.ts';

interface Spoken extends Choice {
  words: Catalogue;
}

let spoken = $state.raw<Spoken>({ tag: 'en', locale: 'en', words: en });
/** Counts the choices: a catalogue that comes late changes nothing. */
let turn = 0;

/** What the pages are in. Whatever reads it is shown anew when another language is chosen. */
export const language = {
  get tag(): Tag {
    return spoken.tag;
  },
  get locale(): string {
    return spoken.locale;
  },
  get words(): Catalogue {
    return spoken.words;
  },
};

/**
 * Before anything is shown. The pages are in English if their catalogue cannot be fetched, and until it has come if that
 * takes too long.
 */
export async function findLanguage(): Promise<void> {
  const found = speak(chosen(languageMemory.recall(), navigator.languages), (load) => load()).catch(
    () => undefined,
  );
  let giveUp: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((resolve) => (giveUp = setTimeout(resolve, PATIENCE_MS)));
  await Promise.race([found, late]);
  clearTimeout(giveUp);
}

/** By hand: kept for the next visit. Rejects if the catalogue cannot be fetched; then nothing changes. */
export async function chooseLanguage(tag: Tag): Promise<void> {
  const before = languageMemory.recall();
  languageMemory.keep(tag);
  try {
    await speak(chosen(tag, navigator.languages), chunk);
  } catch (error) {
    // Another choice may have followed.
    if (languageMemory.recall() === tag) languageMemory.keep(before);
    throw error;
  }
}

async function speak(
  { tag, locale }: Choice,
  fetched: (load: () => Promise<Catalogue>) => Promise<Catalogue>,
): Promise<void> {
  const mine = (turn += 1);
  const words = tag === 'en' ? en : await fetched(OTHERS[tag]);
  if (mine !== turn) return;
  spoken = { tag, locale, words };
  document.documentElement.lang = tag;
}

/** After this, English is better than nothing. */
const PATIENCE_MS = 4_000;
