/** An answer to a question that is asked again and again. */
export interface Read {
  at: number;
  path: string;
  /** 0 where there was none. */
  status: number;
  ms: number;
}

/** Somebody who reads the same pages of the api all the time, as a list of streams does that is open somewhere. */
export class SteadyReader {
  readonly reads: Read[] = [];
  readonly #base: string;
  readonly #paths: string[];
  readonly #stopping = new AbortController();
  readonly #run: Promise<void>;

  constructor(base: string, paths: string[]) {
    this.#base = base;
    this.#paths = paths;
    this.#run = this.#read();
  }

  /** What was asked since then and answered with something else than 200, in words. */
  refused(since: number): string[] {
    const wrong = this.reads.filter(({ at, status }) => at >= since && status !== 200);
    return wrong.map(({ path, status }) => `${this.#base}${path}: ${status}`);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#run;
  }

  async #read(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      for (const path of this.#paths) {
        const at = Date.now();
        const status = await fetch(this.#base + path, { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) }).then(
          async (answer) => {
            await answer.arrayBuffer();
            return answer.status;
          },
          () => 0,
        );
        if (!signal.aborted) this.reads.push({ at, path, status, ms: Date.now() - at });
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

const PAUSE_MS = 200;
const PATIENCE_MS = 10_000;
