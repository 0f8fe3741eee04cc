import type { en } from './en.ts';

/** What a text is called in the code: `chat.reply`. */
export type Key = keyof typeof en;

/** A text that needs no values: what tables of texts hold. */
export type PlainKey = { [K in Key]: keyof Values<K> extends never ? K : never }[Key];

/** A text with a number in it, as the language counts (`Intl.PluralRules`). */
export type Plural = Readonly<
  { one: string; other: string } & Partial<Record<'zero' | 'two' | 'few' | 'many', string>>
>;

/** `{name}` stands for a value; numbers are written as the language writes them. */
export type Words = string | Plural;

export type Catalogue = Readonly<Record<Key, Words>>;

/** The same texts in another language: none is missing, none is left over, and plurals are plurals. */
export type Translation<English> = {
  readonly [K in keyof English]: English[K] extends string ? string : Plural;
};

/** What the text of a key needs. A plural needs `count`. */
export type Values<K extends Key> = {
  readonly [Name in NamesOf<(typeof en)[K]>]: Name extends 'count' ? number : string | number;
};

type NamesOf<W> = W extends string ? NamesIn<W> : NamesIn<W[keyof W] & string> | 'count';

type NamesIn<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | NamesIn<Rest>
  : never;
