import type { Action, ChatSettings } from '../api/moderation.ts';
import type { Streamer } from '../api/streams.ts';
import { rulesChanged } from '../chat/rule-words.ts';
import { duration } from '../language/format.ts';
import { t } from '../language/text.ts';
import { fullNameOf } from '../ui/names.ts';

export interface ActionWords {
  what: string;
  /** The reason, or what has changed. */
  more: string[];
}

/** A line of the log, in words. */
export function wordsForAction({ action, by: actor, user, detail }: Action): ActionWords {
  const [by, name] = [called(actor), called(user)];
  const { reason, term, durationSeconds } = detail;
  const more = typeof reason === 'string' ? [t('moderation.reason', { reason })] : [];
  switch (action) {
    case 'ban':
      return { what: t('moderation.didBan', { by, name }), more };
    case 'timeout': {
      const time = duration(typeof durationSeconds === 'number' ? durationSeconds : 0);
      return { what: t('moderation.didTimeOut', { by, name, time }), more };
    }
    case 'unban':
      return { what: t('moderation.didUnban', { by, name }), more };
    case 'delete_message':
      return { what: t('moderation.didDelete', { by, name }), more };
    case 'add_moderator':
      return { what: t('moderation.didAppoint', { by, name }), more };
    case 'remove_moderator':
      return { what: t('moderation.didDismiss', { by, name }), more };
    case 'add_term':
      return { what: t('moderation.didBlockTerm', { by, term: String(term) }), more };
    case 'remove_term':
      return { what: t('moderation.didUnblockTerm', { by, term: String(term) }), more };
    case 'change_settings': {
      const changed = rulesChanged(detail as Partial<ChatSettings>);
      return { what: t('moderation.didChangeSettings', { by }), more: changed };
    }
    default:
      // From a newer server.
      return { what: t('moderation.didSomething', { by }), more };
  }
}

const called = (person: Streamer | null) =>
  person === null ? t('moderation.deletedAccount') : fullNameOf(person);
