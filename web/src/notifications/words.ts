import type { Notification } from '../api/notifications.ts';
import { t } from '../language/text.ts';
import { channelPath, watchPath } from '../routing/paths.ts';
import { fullNameOf } from '../ui/names.ts';

/** What a notification says in one line, and where it leads. */
export function wordsOf({ type, user, streamId, title }: Notification): { text: string; path: string } {
  const name = fullNameOf(user);
  const channel = channelPath(user.username);
  switch (type) {
    case 'stream_started': {
      const text = title ? t('notifications.liveWith', { name, title }) : t('notifications.live', { name });
      return { text, path: streamId === null ? channel : watchPath(streamId) };
    }
    case 'new_follower':
      return { text: t('notifications.follows', { name }), path: channel };
    case 'new_subscriber':
      return { text: t('notifications.subscribes', { name }), path: channel };
    default:
      return { text: t('notifications.other', { name }), path: channel };
  }
}
