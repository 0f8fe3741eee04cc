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

/** Before anything is shown. Without its catalogue, the pages are in English. */
export async function findLanguage(): Promise<void> {
  try {
    await speak(chosen(languageMemory.recall(), navigator.languages), (load) => load());
  } catch {
    // English is there already.
  }
}

/** By hand: kept for the next visit. Rejects if the catalogue cannot be fetched; then nothing changes. */
export async function chooseLanguage(tag: Tag): Promise<void> {
  const before = languageMemory.recall();
  languageMemory.keep(tag);
  try {
    await speak(chosen(tag, navigator.languages), chunk);
  } catch (error) {
    languageMemory.keep(before);
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
