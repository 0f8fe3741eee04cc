import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';

/** A program that a test started: whatever happens, the test ends it. */
export class Program {
  readonly child: ChildProcess;
  /** What it said on standard error, the last 64 kB. */
  stderr = '';
  readonly #exited: Promise<number | null>;

  constructor(command: string, args: string[], options: SpawnOptions = {}) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-65_536);
    });
    this.#exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('exit', (code) => resolve(code));
    });
    this.#exited.catch(() => {});
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the program did not start');
    return this.child.pid;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Its exit code; null when a signal ended it. */
  exited(): Promise<number | null> {
    return this.#exited;
  }

  /** Asks it to end, insists after `patience` ms, and waits until it has. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', patience = 15_000): Promise<number | null> {
    if (this.running) this.child.kill(signal);
    const insist = setTimeout(() => this.child.kill('SIGKILL'), patience);
    try {
      return await this.exited();
    } finally {
      clearTimeout(insist);
    }
  }
}

/** Waits until `look` gives something, and says what was awaited when it never does. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  patience = 30_000,
): Promise<T> {
  const deadline = Date.now() + patience;
  let last: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen) return seen;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited ${patience} ms in vain: ${what}${last === undefined ? '' : ` (${String(last)})`}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
