import type { Category, Stream, StreamFields } from '../api/streams.ts';

/** What can be changed about a stream, as the studio's form holds it. */
export interface DraftFields {
  title: string;
  description: string;
  categories: readonly Category[];
  /** BCP 47; empty when it is left open. */
  language: string;
}

export type DraftField = keyof DraftFields;
type Source = Pick<Stream, 'id' | 'title' | 'description' | 'categories' | 'language'>;

/**
 * What somebody is typing about their stream. A stream may turn up at any moment, because the encoder opens one, another
 * tab prepares one or the first answer is late: it fills in what nobody has touched, and nothing else.
 */
export class Draft {
  #from: string | null = null;
  /** Counts the changes of each field since it was filled in or saved. */
  readonly #touched = new Map<DraftField, number>();

  touch(field: DraftField): void {
    this.#touched.set(field, (this.#touched.get(field) ?? 0) + 1);
  }

  /** The fields to be filled in from a stream: once for each stream, so that what is asked again and again changes nothing. */
  fillFrom(stream: Source | null): Partial<DraftFields> {
    if (stream === null || stream.id === this.#from) return {};
    this.#from = stream.id;
    const fields: DraftFields = {
      title: stream.title,
      description: stream.description ?? '',
      categories: stream.categories,
      language: stream.language ?? '',
    };
    for (const field of this.#touched.keys()) Reflect.deleteProperty(fields, field);
    return fields;
  }

  /** What is about to be saved. The function is for when it has been: it returns whether nothing was changed since. */
  save(): (streamId: string) => boolean {
    const sent = new Map(this.#touched);
    return (streamId) => {
      this.#from = streamId;
      for (const [field, changes] of sent)
        if (this.#touched.get(field) === changes) this.#touched.delete(field);
      return this.#touched.size === 0;
    };
  }
}

/** What the api is told of a draft. */
export function toSave({ title, description, categories, language }: DraftFields): StreamFields {
  return {
    title: title.trim(),
    description: description.trim(),
    categoryIds: categories.map(({ id }) => id),
    language: language === '' ? null : language,
  };
}
