import { expect, it } from 'vitest';
import { auditLog, ban, changeCategory, people, setRegistration } from './admin.ts';
import type { RequestOptions, Session } from './session.ts';

function listening() {
  const asked: unknown[] = [];
  const session = {
    page: async (path: string) => {
      asked.push(path);
      return { items: [], next: null };
    },
    request: async (path: string, { method, body }: RequestOptions = {}) => {
      asked.push([`${method} ${path}`, body]);
    },
  } as unknown as Session;
  return { session, asked };
}

it('asks for people by words and by what they are', async () => {
  const { session, asked } = listening();
  await people(session, { words: '', which: 'all' });
  await people(session, { words: 'a&b', which: 'admins' });
  await people(session, { words: '', which: 'banned' }, 40);
  expect(asked).toEqual([
    '/api/admin/users?limit=20',
    '/api/admin/users?q=a%26b&role=admin&limit=20',
    '/api/admin/users?banned=true&limit=40',
  ]);
});

it('sends no reason for a ban where none is said, and null for the setting', async () => {
  const { session, asked } = listening();
  await ban(session, 'u1', '');
  await ban(session, 'u1', 'Spam');
  await setRegistration(session, null);
  await changeCategory(session, 'art', { name: 'Arts' });
  expect(asked).toEqual([
    ['PUT /api/admin/users/u1/ban', {}],
    ['PUT /api/admin/users/u1/ban', { reason: 'Spam' }],
    ['PATCH /api/admin/registration', { mode: null }],
    ['PATCH /api/categories/art', { name: 'Arts' }],
  ]);
});

it('asks for what of the log is wanted', async () => {
  const { session, asked } = listening();
  await auditLog(session, {});
  await auditLog(session, { actor: 'u1', action: 'user.ban', since: new Date(Date.UTC(2026, 10, 30)) }, 40);
  expect(asked).toEqual([
    '/api/admin/audit-log?limit=20',
    '/api/admin/audit-log?actor=u1&action=user.ban&since=2026-11-30T00%3A00%3A00.000Z&limit=40',
  ]);
});
