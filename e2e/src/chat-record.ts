/** A message, as a room tells it. */
export interface Line {
  id: string;
  message: string;
  epoch: number;
  offset: number;
}

/** What a room says to whoever enters. */
export interface Joined {
  epoch: number;
  offset: number;
  recovered: boolean;
  messages: Line[];
}

/** What one client knows of a room, over all its connections, and what the server did with it that docs/realtime.md rules out. */
export class ChatRecord {
  /** By their ids: told, answered, or read in the history. */
  readonly lines = new Map<string, Line>();
  readonly faults: string[] = [];
  /** How often it came back, and how often the server could not tell what it had missed. */
  resumed = 0;
  unrecovered = 0;
  #position: { epoch: number; offset: number } | undefined;
  /** Offsets of answers that have overtaken the events before them, on this connection. */
  readonly #ahead = new Set<number>();

  /** Up to where nothing is missing, as a client says when it comes back. */
  get since(): string | undefined {
    return this.#position && `${this.#position.epoch}.${this.#position.offset}`;
  }

  /** Whether the history has to be read. */
  joins({ epoch, offset, recovered, messages }: Joined): boolean {
    const isBack = this.#position !== undefined;
    this.#ahead.clear();
    if (recovered) {
      // What was missed follows, as events.
      this.resumed += 1;
      return false;
    }
    if (isBack) this.unrecovered += 1;
    this.#position = { epoch, offset };
    for (const line of messages) this.knows(line);
    return isBack;
  }

  /** The server has lost something on the way: from here on all is told again. */
  resyncs({ epoch, offset }: { epoch: number; offset: number }): void {
    this.#position = { epoch, offset };
    this.#ahead.clear();
  }

  /** Takes an event. False where something before it is missing. */
  hears(event: { epoch: number; offset: number; id?: string }, line?: Line): boolean {
    const position = this.#position;
    const at = `${event.epoch}.${event.offset}`;
    if (!position || event.epoch !== position.epoch || event.offset > position.offset + 1) return false;
    if (event.offset <= position.offset) {
      this.faults.push(`${at} was told after ${position.offset}`);
      return true;
    }
    if (line) this.knows(line);
    position.offset += 1;
    this.#goOn();
    return true;
  }

  /** Its own message, which nobody tells it of any more on this connection. */
  isAnswered(line: Line): void {
    this.knows(line);
    if (line.epoch !== this.#position?.epoch || line.offset <= this.#position.offset) return;
    this.#ahead.add(line.offset);
    this.#goOn();
  }

  knows(line: Line): void {
    const known = this.lines.get(line.id);
    if (known && (known.epoch !== line.epoch || known.offset !== line.offset)) {
      this.faults.push(`${line.message} is at ${known.epoch}.${known.offset} and at ${line.epoch}.${line.offset}`);
    }
    this.lines.set(line.id, line);
  }

  #goOn(): void {
    while (this.#position && this.#ahead.delete(this.#position.offset + 1)) this.#position.offset += 1;
  }
}
