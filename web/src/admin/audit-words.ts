import type { AuditRecord } from '../api/admin.ts';
import { t } from '../language/text.ts';

/** What somebody did, in one sentence. */
export function auditWords({ action, actor: by, subject: whom, details }: AuditRecord): string {
  const actor = by === null ? t('admin.commandLine') : (by.username ?? t('admin.somebody'));
  const subject = whom.username ?? t('admin.somebody');
  switch (action) {
    case 'user.ban': {
      const reason = text(details['reason']);
      return reason === ''
        ? t('admin.did.ban', { actor, subject })
        : t('admin.did.banFor', { actor, subject, reason });
    }
    case 'user.unban':
      return t('admin.did.unban', { actor, subject });
    case 'user.role':
      return t(details['to'] === 'admin' ? 'admin.did.promote' : 'admin.did.demote', { actor, subject });
    case 'registration.change':
      return registrationWords(actor, details);
    case 'invitation.create': {
      const [count, note] = [number(details['uses']), text(details['note'])];
      return note === ''
        ? t('admin.did.invite', { actor, count })
        : t('admin.did.inviteNoted', { actor, count, note });
    }
    case 'invitation.remove':
      return t('admin.did.takeBack', { actor, count: number(details['used']) });
    case 'category.create':
      return t('admin.did.addCategory', { actor, name: text(details['name']) });
    case 'category.edit':
      return categoryWords(actor, details);
    case 'category.remove':
      return t('admin.did.removeCategory', { actor, former: text(details['slug']) });
    case 'category.icon':
      return t(details['removed'] === true ? 'admin.did.removeIcon' : 'admin.did.setIcon', {
        actor,
        former: text(details['slug']),
      });
    case 'user.avatar':
      return t('admin.did.removeAvatar', { actor, subject });
    case 'stream.end':
      return t('admin.did.endStream', { actor });
    default:
      return t('admin.did.other', { actor, action });
  }
}

/** What may be chosen, by its name in the api. */
export const actionNames = (): [action: string, words: string][] => [
  ['user.ban', t('admin.act.ban')],
  ['user.unban', t('admin.act.unban')],
  ['user.role', t('admin.act.role')],
  ['registration.change', t('admin.act.registration')],
  ['invitation.create', t('admin.act.invite')],
  ['invitation.remove', t('admin.act.takeBack')],
  ['category.create', t('admin.act.addCategory')],
  ['category.edit', t('admin.act.editCategory')],
  ['category.remove', t('admin.act.removeCategory')],
  ['stream.end', t('admin.act.endStream')],
];

function registrationWords(actor: string, { to, bySetting }: AuditRecord['details']): string {
  if (bySetting === true) return t('admin.did.setting', { actor });
  if (to === 'open') return t('admin.did.open', { actor });
  return t(to === 'invitation' ? 'admin.did.byInvitation' : 'admin.did.close', { actor });
}

function categoryWords(actor: string, details: AuditRecord['details']): string {
  const [former, name, address] = [details['formerSlug'], details['name'], details['slug']].map(text) as [
    string,
    string,
    string,
  ];
  if (address === '') return t('admin.did.renameCategory', { actor, former, name });
  return name === ''
    ? t('admin.did.moveCategory', { actor, former, address })
    : t('admin.did.changeCategory', { actor, former, name, address });
}

const text = (value: unknown) => (typeof value === 'string' ? value : '');
const number = (value: unknown) => (typeof value === 'number' ? value : 0);
