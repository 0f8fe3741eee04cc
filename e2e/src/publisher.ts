import { encode, type EncoderSettings } from './encoder.ts';
import type { Program } from './process.ts';

/** From when to when a publisher was not connected, by `Date.now()`. */
export interface Absence {
  from: number;
  to: number;
  /** When it was first turned away meanwhile: what came after that was not its own doing. */
  refused?: number;
}

/** An encoder that connects again when it loses its connection, as OBS does, but at once. */
export class Publisher {
  /** One for each connection that it lost. */
  readonly absences: Absence[] = [];
  readonly #url: string;
  readonly #settings: EncoderSettings;
  #encoder: Program;
  #stopping = false;
  readonly #run: Promise<void>;

  constructor(url: string, settings: EncoderSettings = {}) {
    this.#url = url;
    this.#settings = settings;
    this.#encoder = encode(url, settings);
    this.#run = this.#publish();
  }

  /** Seconds of media that it has sent on this connection. */
  get sent(): number {
    const [hours, minutes, seconds] = [...this.#encoder.stderr.matchAll(/time=(\d+):(\d+):([\d.]+)/g)].at(-1)?.slice(1).map(Number) ?? [];
    return (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
  }

  /** Ends it in good order. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#encoder.stop('SIGTERM');
    await this.#run;
  }

  async #publish(): Promise<void> {
    for (;;) {
      await this.#encoder.exited();
      if (this.#stopping) return;
      const from = Date.now();
      let refused: number | undefined;
      for (;;) {
        this.#encoder = encode(this.#url, this.#settings);
        if (await publishes(this.#encoder)) break;
        if (this.#stopping) return;
        refused ??= Date.now();
      }
      this.absences.push({ from, to: Date.now(), ...(refused !== undefined && { refused }) });
    }
  }
}

/** Whether the server has let it in: ffmpeg describes its output then. */
async function publishes(encoder: Program): Promise<boolean> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (encoder.stderr.includes('Output #0')) resolve(true);
    };
    encoder.child.stderr?.on('data', look);
    void encoder.exited().then(() => resolve(encoder.stderr.includes('Output #0')));
  });
}
