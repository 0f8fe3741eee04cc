import { childrenOf } from './processes.ts';

/** Lets the encoders of one worker run for some milliseconds of each second only, as on a machine without room. */
export class Slowness {
  readonly #worker: number;
  readonly #stopped = new Set<number>();
  readonly #torment: Promise<void>;
  #over = false;

  constructor(worker: number) {
    this.#worker = worker;
    this.#torment = this.#run();
  }

  async end(): Promise<void> {
    this.#over = true;
    await this.#torment;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#over) {
        const encoders = (await childrenOf(this.#worker)).filter((child) => child.command.includes('pipe:'));
        this.#continue();
        await pause(RUNS_MS);
        for (const { pid } of encoders) if (signal(pid, 'SIGSTOP')) this.#stopped.add(pid);
        await pause(STANDS_MS);
      }
    } finally {
      this.#continue();
    }
  }

  #continue(): void {
    for (const pid of this.#stopped) signal(pid, 'SIGCONT');
    this.#stopped.clear();
  }
}

/** False when the process has gone. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const RUNS_MS = 15;
const STANDS_MS = 900;
