import { ApiProblem } from '../api/problem.ts';

/** The api's answer to the latest question. An answer to an earlier question changes nothing, however late it comes. */
export class Answer<T> {
  value = $state.raw<T | null>(null);
  /** Why the latest question was not answered; an older answer stays. */
  error = $state.raw<unknown>(null);
  #turn = 0;

  /** The api said that there is no such thing, or no longer. */
  get missing(): boolean {
    return this.error instanceof ApiProblem && this.error.status === 404 && this.error.typed;
  }

  async ask(question: () => Promise<T>): Promise<void> {
    const turn = (this.#turn += 1);
    try {
      const value = await question();
      if (turn !== this.#turn) return;
      this.value = value;
      this.error = null;
    } catch (error) {
      if (turn === this.#turn) this.error = error;
    }
  }

  /** Drops the answer, and the one that may be on its way. */
  forget(): void {
    this.#turn += 1;
    this.value = null;
    this.error = null;
  }
}
