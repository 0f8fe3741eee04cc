import type { PlainKey } from '../language/catalogue.ts';
import { language } from '../language/language.svelte.ts';
import { t } from '../language/text.ts';

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

  /** What to tell a person about one field, if the server complained about it. */
  forField(field: string): string | undefined {
    const found = this.fields.find((problem) => problem.field === field);
    return found === undefined ? undefined : wordsForField(found);
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';

  constructor() {
    super(t('problem.unreachable'));
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

/** What to tell a person about anything that a request may throw: our own words for a code that we know, else the api's. */
export function wordsFor(error: unknown): string {
  if (error instanceof Unreachable) return t('problem.unreachable');
  if (!(error instanceof ApiProblem)) return t('problem.unknown');
  const known = CODES.get(error.code);
  if (known !== undefined) return t(known);
  if (error.status === 429) return wordsForStatus(error.status, error.retryAfter);
  // The api writes English; what a status means can be said in any language.
  return language.tag !== 'en' && (STATUSES.has(error.status) || !error.typed)
    ? wordsForStatus(error.status, error.retryAfter)
    : error.message;
}

/** By field, where the server complained about fields. */
export function wordsForFields(error: unknown): Record<string, string> {
  if (!(error instanceof ApiProblem)) return {};
  return Object.fromEntries(error.fields.map((problem) => [problem.field, wordsForField(problem)]));
}

function wordsForField({ field, code, detail }: FieldProblem): string {
  const known =
    FIELD_CODES.get(`${field} ${code}`) ?? (language.tag === 'en' ? undefined : ANY_FIELD.get(code));
  return known === undefined ? detail : t(known);
}

function parseField(value: unknown): FieldProblem[] {
  const entry = asRecord(value);
  const pointer = text(entry?.['pointer']);
  if (entry === null || pointer === undefined) return [];
  const code = text(entry['code']) ?? 'invalid';
  return [{ field: fieldOf(pointer), code, detail: text(entry['detail']) ?? t('problem.invalid') }];
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
      return t('problem.logInFirst');
    case 403:
      return t('problem.forbidden');
    case 404:
      return t('problem.notFound');
    case 429:
      return retryAfter === null ? t('problem.tooMany') : t('problem.tooManyWait', { count: retryAfter });
    default:
      return t(status >= 500 ? 'problem.server' : 'problem.refused');
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

const CODES: ReadonlyMap<string, PlainKey> = new Map([
  ['wrong_credentials', 'problem.wrongCredentials'],
  ['wrong_password', 'problem.wrongPassword'],
  ['unauthenticated', 'problem.logInFirst'],
  ['token_invalid', 'problem.logInAgain'],
  ['token_expired', 'problem.logInAgain'],
  ['session_revoked', 'problem.logInAgain'],
  ['refresh_invalid', 'problem.logInAgain'],
  ['refresh_reused', 'problem.logInAgain'],
  ['banned', 'problem.banned'],
  ['blocked', 'problem.blocked'],
  ['oneself', 'problem.oneself'],
  ['stream_open', 'problem.streamOpen'],
  ['too_many', 'problem.listFull'],
  ['registration_closed', 'problem.registrationClosed'],
  ['invitation_invalid', 'problem.invitationInvalid'],
  ['is_admin', 'problem.isAdmin'],
  ['is_banned', 'problem.isBanned'],
  ['last_admin', 'problem.lastAdmin'],
  ['precondition_failed', 'problem.changedMeanwhile'],
  ['too_large', 'problem.tooLarge'],
  ['picture_unreadable', 'problem.pictureUnreadable'],
  ['too_many_pixels', 'problem.tooManyPixels'],
  ['unsupported_media_type', 'problem.noPicture'],
  ['no_storage', 'problem.noStorage'],
  ['billing_disabled', 'problem.nothingSold'],
  ['already_subscribed', 'problem.alreadySubscribed'],
  ['payment_failed', 'problem.paymentFailed'],
  ['provider_unavailable', 'problem.providerAway'],
  ['subscription_over', 'problem.subscriptionOver'],
  ['withdrawal_over', 'problem.withdrawalOver'],
  ['change_pending', 'problem.changePending'],
  ['overloaded', 'problem.busy'],
  ['timed_out', 'problem.busy'],
  ['unavailable', 'problem.server'],
  ['internal', 'problem.server'],
]);

/** Whose code says no more than the status does. */
const STATUSES: ReadonlySet<number> = new Set([401, 403, 404]);

/** By field and code. */
const FIELD_CODES: ReadonlyMap<string, PlainKey> = new Map([
  ['username taken', 'problem.nameTaken'],
  ['username invalid', 'problem.nameInvalid'],
  ['email taken', 'problem.emailTaken'],
  ['email invalid', 'problem.emailInvalid'],
  ['password too_short', 'problem.passwordShort'],
  ['name taken', 'problem.categoryTaken'],
  ['slug taken', 'problem.slugTaken'],
  ['slug invalid', 'problem.slugInvalid'],
  ['categoryIds unknown', 'problem.noSuchCategory'],
]);

/** Where the api's English may say more, as with the number of characters. */
const ANY_FIELD: ReadonlyMap<string, PlainKey> = new Map([
  ['too_short', 'problem.tooShort'],
  ['too_long', 'problem.tooLong'],
  ['invalid', 'problem.invalid'],
]);
