import { billingTerms } from '../api/billing.ts';
import type { Session } from '../api/session.ts';
import { Answer } from '../ui/answer.svelte.ts';

/** Whether anything can be sold on this server. The first page that needs to know asks, once for as long as the pages are open. */
export class Shop {
  readonly #terms = new Answer<{ enabled: boolean }>();
  #asking: Promise<void> | null = null;

  /** `null` until it is known. */
  get open(): boolean | null {
    return this.#terms.value?.enabled ?? null;
  }

  /** Why the latest question was not answered. */
  get error(): unknown {
    return this.#terms.error;
  }

  /** After a failure the next call asks again. */
  async look(session: Session): Promise<void> {
    if (this.open !== null) return;
    this.#asking ??= this.#terms.ask(() => billingTerms(session));
    await this.#asking;
    this.#asking = null;
  }
}

export const shop = new Shop();
