import { describe, expect, it } from 'vitest';
import { ApiProblem, parseProblem, Unreachable, wordsFor } from './problem.ts';

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
