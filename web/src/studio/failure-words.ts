import type { FailedBroadcast } from '../api/streams.ts';
import { t } from '../language/text.ts';

/** Why a broadcast failed, without a full stop. */
export function wordsForFailure({
  reasonCode,
  reason,
}: Pick<FailedBroadcast, 'reasonCode' | 'reason'>): string {
  switch (reasonCode) {
    case 'start_timeout':
      return t('studio.startTimeout');
    case 'nothing_playable':
      return t('studio.nothingPlayable');
    case 'no_capacity':
      return t('studio.noCapacity');
    case 'workers_lost':
      return t('studio.workersLost');
    default:
      // From a newer server.
      return reason;
  }
}
