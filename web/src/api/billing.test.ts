import { expect, it } from 'vitest';
import {
  billingTerms,
  changeTier,
  ledger,
  mySubscriptions,
  payments,
  plansOf,
  resumeSubscription,
  sellPlan,
  subscribe,
  subscribers,
  withdraw,
} from './billing.ts';
import { ApiProblem } from './problem.ts';
import type { RequestOptions, Session } from './session.ts';

function listening() {
  const asked: unknown[] = [];
  const session = {
    page: async (path: string) => {
      asked.push(path);
      return { items: [], next: null };
    },
    request: async (path: string, { method, body, accept }: RequestOptions = {}) => {
      asked.push([`${method ?? 'GET'} ${path}`, body ?? accept]);
    },
  } as unknown as Session;
  return { session, asked };
}

const refusing = (error: Error) =>
  ({ token: async () => null, request: () => Promise.reject(error) }) as unknown as Session;
const OFF = new ApiProblem(501, 'billing_disabled', 'no way to be paid is set');

it('takes it for no error that an older server sells nothing', async () => {
  expect(await plansOf(refusing(OFF), 'u1')).toBeNull();
});

it.each([new ApiProblem(501, 'http_501', 'A proxy says so.'), new ApiProblem(404, 'not_found', 'Nobody.')])(
  'throws what else there is: %s',
  async (error) => {
    await expect(plansOf(refusing(error), 'u1')).rejects.toBe(error);
  },
);

it('asks for what a channel sells as whoever is logged in, however old the page is', async () => {
  const asked: string[] = [];
  const session = {
    token: async () => void asked.push('token'),
    request: async (path: string) => void asked.push(path),
  } as unknown as Session;
  await plansOf(session, 'u/1');
  expect(asked).toEqual(['token', '/api/users/u%2F1/plans']);
});

it('asks for lists by page, and for subscribers by tier', async () => {
  const { session, asked } = listening();
  await mySubscriptions(session);
  await payments(session, 40);
  await subscribers(session, 'u1', null);
  await subscribers(session, 'u1', 'pro');
  expect(asked).toEqual([
    '/api/subscriptions/me?limit=20',
    '/api/billing/payments?limit=40',
    '/api/subscriptions/streamer/u1?limit=20',
    '/api/subscriptions/streamer/u1?tier=pro&limit=20',
  ]);
});

it('says what is wanted', async () => {
  const { session, asked } = listening();
  const wanted = { streamerId: 'u1', tier: 'pro', paymentMethod: 'card' } as const;
  await billingTerms(session);
  await subscribe(session, wanted);
  await changeTier(session, 's1', 'basic');
  await resumeSubscription(session, 's1');
  await withdraw(session, 's1');
  await sellPlan(session, 'pro', 999);
  await ledger(session);
  expect(asked).toEqual([
    ['GET /api/billing', undefined],
    ['POST /api/subscriptions', wanted],
    ['PATCH /api/subscriptions/s1', { tier: 'basic' }],
    ['POST /api/subscriptions/s1/resume', undefined],
    ['POST /api/subscriptions/s1/withdraw', undefined],
    ['PUT /api/billing/plans/pro', { amount: 999 }],
    ['GET /api/billing/ledger.csv', 'text/csv'],
  ]);
});
