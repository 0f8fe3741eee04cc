import { wordsFor, wordsForFields } from '../api/problem.ts';

/** A form on its way to the api: one at a time, and what the api said about it. */
export class Submission {
  busy = $state(false);
  done = $state(false);
  /** What is wrong with all of it. */
  general = $state('');
  /** What is wrong with a field, by the name that the api's JSON gives it. */
  fields = $state<Record<string, string>>({});
  /** Counts the changes, to know whether somebody typed on while the form was on its way. */
  #changes = 0;

  /** Somebody types: what was said is about something else now. */
  typed(): void {
    this.#changes += 1;
    this.done = false;
  }

  /** Sends it, unless it is on its way. Whether it was taken. */
  async send(task: () => Promise<unknown>, missing: Record<string, string> = {}): Promise<boolean> {
    if (this.busy) return false;
    this.done = false;
    this.general = '';
    this.fields = missing;
    if (Object.keys(missing).length > 0) return false;
    this.busy = true;
    const sent = this.#changes;
    try {
      await task();
      this.done = sent === this.#changes;
      return true;
    } catch (error) {
      this.fields = wordsForFields(error);
      if (Object.keys(this.fields).length === 0) this.general = wordsFor(error);
      return false;
    } finally {
      this.busy = false;
    }
  }
}
