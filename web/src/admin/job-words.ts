import type { PlainKey } from '../language/catalogue.ts';
import { t } from '../language/text.ts';

/** What a job was to do; a newer server may have others, which are called what the server calls them. */
export function jobWords(topic: string): string {
  const known = TOPICS.get(topic);
  return known === undefined ? topic : t(known);
}

const TOPICS: ReadonlyMap<string, PlainKey> = new Map([
  ['stream_started', 'admin.job.started'],
  ['stream_ended', 'admin.job.ended'],
  ['stream_updated', 'admin.job.updated'],
  ['notify_followers', 'admin.job.notify'],
  ['new_follower', 'admin.job.follower'],
  ['tell_subscribers', 'admin.job.subscribers'],
  ['deliver_event', 'admin.job.webhook'],
  ['verify_event_subscription', 'admin.job.challenge'],
  ['sync_billing', 'admin.job.sync'],
  ['carry_out_billing_order', 'admin.job.order'],
  ['new_subscriber', 'admin.job.newSubscriber'],
  ['mail_subscriber', 'admin.job.letter'],
]);
