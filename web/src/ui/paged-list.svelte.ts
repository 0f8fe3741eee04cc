import { PAGE } from '../api/pages.ts';
import type { Page } from '../api/session.ts';

/**
 * A list as a page shows it: at first one page of it, more when somebody asks for more. A refresh asks for everything
 * that is shown, and an answer that is overtaken by a newer one changes nothing.
 */
export class PagedList<T> {
  /** `null` until the first answer. */
  items = $state.raw<readonly T[] | null>(null);
  hasMore = $state(false);
  /** Why the latest request failed; what was listed before stays. */
  error = $state.raw<unknown>(null);
  growing = $state(false);
  #wanted = PAGE;
  #turn = 0;

  constructor(private readonly ask: (atLeast: number) => Promise<Page<T>>) {}

  get isEmpty(): boolean {
    return this.items?.length === 0;
  }

  async refresh(): Promise<void> {
    const turn = (this.#turn += 1);
    try {
      const { items, next } = await this.ask(this.#wanted);
      if (turn !== this.#turn) return;
      this.items = items;
      this.hasMore = next !== null;
      this.error = null;
    } catch (error) {
      if (turn === this.#turn) this.error = error;
    }
  }

  async more(): Promise<void> {
    if (this.growing) return;
    this.#wanted = (this.items?.length ?? 0) + PAGE;
    this.growing = true;
    await this.refresh();
    this.growing = false;
  }
}
