import { describe, expect, it } from 'vitest';
import { ApiProblem } from '../api/problem.ts';
import { Answer } from './answer.svelte.ts';

function later<T>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

describe('an answer', () => {
  it('to an earlier question is dropped when it comes late', async () => {
    const answer = new Answer<string>();
    const slow = later<string>();
    const first = answer.ask(() => slow.promise);
    await answer.ask(async () => 'the second');
    slow.resolve('the first');
    await first;
    expect(answer.value).toBe('the second');
  });

  it('stays when a later question fails, which is told', async () => {
    const answer = new Answer<string>();
    await answer.ask(async () => 'known');
    await answer.ask(() => Promise.reject(new Error('away')));
    expect(answer.value).toBe('known');
    expect(answer.error).toEqual(new Error('away'));
    await answer.ask(async () => 'again');
    expect(answer.error).toBeNull();
  });

  it('is missing only when the api itself said so', async () => {
    const answer = new Answer<string>();
    await answer.ask(() => Promise.reject(new ApiProblem(404, 'http_404', 'A proxy says so.')));
    expect(answer.missing).toBe(false);
    await answer.ask(() => Promise.reject(new ApiProblem(404, 'not_found', 'No.')));
    expect(answer.missing).toBe(true);
  });

  it('that is forgotten does not come back', async () => {
    const answer = new Answer<string>();
    const slow = later<string>();
    const asked = answer.ask(() => slow.promise);
    answer.forget();
    slow.resolve('late');
    await asked;
    expect(answer.value).toBeNull();
  });
});
