import { expect, it } from 'vitest';
import type { AuditRecord } from '../api/admin.ts';
import { auditWords } from './audit-words.ts';

const record = (
  action: string,
  details: AuditRecord['details'] = {},
  names: { actor?: string | null; subject?: string | null } = {},
): AuditRecord => ({
  id: 'l1',
  createdAt: '2026-11-30T12:00:00Z',
  action,
  actor: names.actor === undefined ? { kind: 'user', id: 'u1', username: 'ruth' } : null,
  subject: { kind: 'user', id: 'u2', username: names.subject === undefined ? 'kim' : names.subject },
  details,
  address: null,
});

it.each([
  [record('user.ban', { reason: null }), 'ruth banned kim'],
  [record('user.ban', { reason: 'Spam' }), 'ruth banned kim: Spam'],
  [record('user.unban'), 'ruth ended the ban of kim'],
  [record('user.role', { from: 'user', to: 'admin' }), 'ruth made kim an admin'],
  [record('user.role', { from: 'admin', to: 'user' }), 'ruth took the role of an admin from kim'],
  [record('registration.change', { to: 'open', bySetting: false }), 'ruth opened registration to everybody'],
  [
    record('registration.change', { to: 'invitation', bySetting: false }),
    'ruth opened registration to whoever was invited',
  ],
  [record('registration.change', { to: 'closed', bySetting: false }), 'ruth closed registration'],
  [record('registration.change', { to: 'open', bySetting: true }), 'ruth left registration to the setting'],
  [record('invitation.create', { uses: 1, note: null }), 'ruth made an invitation for one person'],
  [record('invitation.create', { uses: 5, note: 'Choir' }), 'ruth made an invitation for 5 people: Choir'],
  [record('invitation.remove', { used: 0 }), 'ruth took back an invitation that 0 people had used'],
  [record('category.create', { name: 'Chess', slug: 'chess' }), 'ruth added the category Chess'],
  [
    record('category.edit', { formerSlug: 'chess', name: 'Board games', slug: null }),
    'ruth renamed the category chess to Board games',
  ],
  [
    record('category.edit', { formerSlug: 'chess', name: null, slug: 'boards' }),
    'ruth changed the address of the category chess to boards',
  ],
  [
    record('category.edit', { formerSlug: 'chess', name: 'Boards', slug: 'boards' }),
    'ruth renamed the category chess to Boards and changed its address to boards',
  ],
  [record('category.remove', { slug: 'chess' }), 'ruth removed the category chess'],
  [
    record('category.icon', { slug: 'chess', removed: false }),
    'ruth changed the picture of the category chess',
  ],
  [
    record('category.icon', { slug: 'chess', removed: true }),
    'ruth removed the picture of the category chess',
  ],
  [record('user.avatar'), 'ruth removed the picture of kim'],
  [record('stream.end', { owner: 'u2' }), 'ruth ended a broadcast'],
  [record('user.role', { to: 'admin' }, { actor: null }), 'Somebody at the command line made kim an admin'],
  [record('user.unban', {}, { subject: null }), 'ruth ended the ban of somebody'],
  [record('user.praise'), 'ruth did something that this page does not know: user.praise'],
])('%# reads as a sentence', (one, words) => {
  expect(auditWords(one)).toBe(words);
});
