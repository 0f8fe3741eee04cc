import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { chooseLanguage } from '../language/language.svelte.ts';
import { ApiProblem, parseProblem, Unreachable, wordsFor, wordsForFields } from './problem.ts';

const PROBLEM = 'application/problem+json';

describe('an error answer', () => {
  it('carries code, words and the words for each field', () => {
    const problem = parseProblem(
      422,
      PROBLEM,
      JSON.stringify({
        type: 'about:blank',
        title: 'Unprocessable',
        status: 422,
        code: 'invalid',
        detail: 'Two fields need another look.',
        errors: [
          { pointer: '/username', code: 'taken', detail: 'This name is taken.' },
          { pointer: '#/password', code: 'too_short', detail: 'At least 8 characters.' },
        ],
      }),
      null,
    );
    expect(problem.status).toBe(422);
    expect(problem.code).toBe('invalid');
    expect(problem.message).toBe('Two fields need another look.');
    expect(problem.forField('username')).toBe('This name is taken.');
    expect(problem.forField('password')).toBe('At least 8 characters.');
    expect(problem.forField('email')).toBeUndefined();
  });

  it.each([
    ['/a~1b/c~0d', 'a/b.c~d'],
    ['#/categories/0', 'categories.0'],
    ['', ''],
  ])('names the field of pointer %j', (pointer, field) => {
    const body = JSON.stringify({ errors: [{ pointer, code: 'x', detail: 'y' }] });
    expect(parseProblem(422, PROBLEM, body, null).fields.map((f) => f.field)).toEqual(
      pointer === '' ? [] : [field],
    );
  });

  it.each([
    ['a page from a proxy', 'text/html', '<h1>502 Bad Gateway</h1>'],
    ['broken JSON', PROBLEM, '{"code":'],
    ['a JSON array', PROBLEM, '[]'],
    ['nothing', null, ''],
  ])('that is %s still becomes plain words', (_, type, body) => {
    const problem = parseProblem(502, type, body, null);
    expect(problem.code).toBe('http_502');
    expect(wordsFor(problem)).toMatch(/server has a problem/);
  });

  it('ignores field errors of the wrong shape', () => {
    const body = JSON.stringify({
      code: 'invalid',
      errors: [null, 7, {}, { pointer: 3 }, { pointer: '/title' }],
    });
    expect(parseProblem(422, PROBLEM, body, null).fields).toEqual([
      { field: 'title', code: 'invalid', detail: 'This is not valid.' },
    ]);
  });

  it('says how long to wait when there were too many requests', () => {
    const problem = parseProblem(429, PROBLEM, '{"code":"rate_limited","detail":"slow down"}', '12');
    expect(problem.retryAfter).toBe(12);
    expect(wordsFor(problem)).toContain('12 seconds');
  });
});

describe('words for a person', () => {
  it('never show what an unknown error says', () => {
    expect(wordsFor(new TypeError('x is not a function'))).toBe('Something went wrong. Please try again.');
  });

  it('tell an unreachable server from a refusal', () => {
    expect(wordsFor(new Unreachable())).toContain('cannot be reached');
    expect(wordsFor(new ApiProblem(403, 'forbidden', 'Not yours.'))).toBe('Not yours.');
  });
});

describe('our own words', () => {
  const fields = (...codes: [string, string][]) =>
    new ApiProblem(
      422,
      'invalid',
      'some fields are not acceptable',
      codes.map(([field, code]) => ({ field, code, detail: 'length is lower than 8' })),
    );

  beforeEach(() => {
    vi.stubGlobal('navigator', { languages: ['en', 'es'] });
    vi.stubGlobal('document', { documentElement: {} });
  });
  afterEach(async () => {
    await chooseLanguage('en');
    vi.unstubAllGlobals();
  });

  it('stand for a code that we know, and the api’s for another', async () => {
    const known = new ApiProblem(409, 'stream_open', 'there is an open stream');
    const unknown = new ApiProblem(409, 'something_new', 'Not like this.');
    expect([known, unknown].map(wordsFor)).toEqual(['You have a stream already.', 'Not like this.']);
    await chooseLanguage('es');
    expect([known, unknown].map(wordsFor)).toEqual(['Ya tienes un directo.', 'Not like this.']);
  });

  it('stand for a status in another language, where English has more to say', async () => {
    const missing = new ApiProblem(404, 'not_found', 'the stream does not exist');
    expect(wordsFor(missing)).toBe('the stream does not exist');
    await chooseLanguage('es');
    expect(wordsFor(missing)).toBe('Esto no existe, o ya no existe.');
  });

  it('are found for a field and its code', async () => {
    const error = fields(['password', 'too_short'], ['title', 'too_short']);
    expect(wordsForFields(error)).toEqual({
      password: 'At least 8 characters.',
      title: 'length is lower than 8',
    });
    await chooseLanguage('es');
    expect(wordsForFields(error)).toEqual({
      password: 'Al menos 8 caracteres.',
      title: 'Es demasiado corto.',
    });
    expect(wordsForFields(new Unreachable())).toEqual({});
  });
});
