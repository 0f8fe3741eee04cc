import { expect, it } from 'vitest';
import type { Session } from '../api/session.ts';
import { Shop } from './shop.svelte.ts';

/** A server with these answers, and what it was asked. */
function serverOf(...answers: (boolean | Error)[]) {
  const asked: string[] = [];
  const session = {
    request: async (path: string) => {
      asked.push(path);
      const answer = answers.shift();
      if (typeof answer !== 'boolean') throw answer;
      return { enabled: answer, currency: 'EUR', withdrawalDays: 14 };
    },
  } as unknown as Session;
  return { session, asked };
}

it.each([true, false])('asks once whether it is open, which is %s', async (enabled) => {
  const { session, asked } = serverOf(enabled);
  const shop = new Shop();
  expect(shop.open).toBeNull();
  await Promise.all([shop.look(session), shop.look(session)]);
  await shop.look(session);
  expect(shop.open).toBe(enabled);
  expect(asked).toEqual(['/api/billing']);
});

it('is neither open nor closed where there was no answer, and asks again', async () => {
  const away = new Error();
  const { session } = serverOf(away, true);
  const shop = new Shop();
  await shop.look(session);
  expect([shop.open, shop.error]).toEqual([null, away]);
  await shop.look(session);
  expect([shop.open, shop.error]).toEqual([true, null]);
});
