/** What went wrong with one field of a request. */
export interface FieldProblem {
  /** The field's name, as the request's JSON calls it; nested fields are joined with dots. */
  field: string;
  code: string;
  detail: string;
}

/**
 * An answer the api gave instead of what was asked for: RFC 9457 `application/problem+json` with our `code` and
 * `errors[{pointer, code, detail}]`, or whatever a proxy in between said.
 */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fields: readonly FieldProblem[] = [],
    /** Seconds after which the server wants to be asked again. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }

  /** False when something between us and the api answered in its place: nothing follows from that for the account. */
  get typed(): boolean {
    return !this.code.startsWith('http_');
  }

  /** The words for one field, if the server complained about it. */
  forField(field: string): string | undefined {
    return this.fields.find((problem) => problem.field === field)?.detail;
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';

  constructor() {
    super('The server cannot be reached. Check your connection; trying again usually helps.');
  }
}

export function parseProblem(
  status: number,
  contentType: string | null,
  body: string,
  retryAfter: string | null,
) {
  const seconds = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  const json = /json/i.test(contentType ?? '') ? asRecord(parseJson(body)) : null;
  if (json === null) {
    return new ApiProblem(status, `http_${status}`, wordsForStatus(status, seconds), [], seconds);
  }
  const fields = Array.isArray(json['errors']) ? json['errors'].flatMap(parseField) : [];
  const message = text(json['detail']) ?? text(json['title']) ?? wordsForStatus(status, seconds);
  return new ApiProblem(status, text(json['code']) ?? `http_${status}`, message, fields, seconds);
}

/** What to tell a person about anything that a request may throw. */
export function wordsFor(error: unknown): string {
  if (error instanceof ApiProblem && error.status === 429) return wordsForStatus(429, error.retryAfter);
  if (error instanceof ApiProblem || error instanceof Unreachable) return error.message;
  return 'Something went wrong. Please try again.';
}

function parseField(value: unknown): FieldProblem[] {
  const entry = asRecord(value);
  const pointer = text(entry?.['pointer']);
  if (entry === null || pointer === undefined) return [];
  const code = text(entry['code']) ?? 'invalid';
  return [{ field: fieldOf(pointer), code, detail: text(entry['detail']) ?? 'This is not valid.' }];
}

/** RFC 6901 pointers, as a plain string (`/title`) or as a URI fragment (`#/title`). */
function fieldOf(pointer: string): string {
  return pointer
    .replace(/^#/, '')
    .split('/')
    .filter((token) => token !== '')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    .join('.');
}

function wordsForStatus(status: number, retryAfter: number | null): string {
  switch (status) {
    case 401:
      return 'Please log in first.';
    case 403:
      return 'You are not allowed to do this.';
    case 404:
      return 'This does not exist, or no longer does.';
    case 429:
      return retryAfter === null
        ? 'Too many attempts. Please wait a moment.'
        : `Too many attempts. Please wait ${retryAfter === 1 ? 'a second' : `${retryAfter} seconds`}.`;
    default:
      return status >= 500
        ? 'The server has a problem. Please try again in a moment.'
        : 'The server did not accept this.';
  }
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function asRecord(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
