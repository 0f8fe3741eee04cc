import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { Program, until } from './process.ts';

/** Where a platform listens, as its first line says. */
export interface Addresses {
  web: string;
  hls: string;
  rtmp: string;
  /** Only with a certificate. */
  rtmps?: string;
  admin: string;
}

/** One line of `caudal standalone` under LOG_FORMAT=json. */
export interface Line {
  event?: string;
  stream?: string;
  phase?: string;
  [field: string]: unknown;
}

/** `caudal standalone` on ports and in a folder of its own. */
export class Platform {
  readonly folder: string;
  readonly lines: Line[] = [];
  #binary: string | undefined;
  #program: Program;
  #addresses: Addresses;

  private constructor(binary: string | undefined, folder: string, program: Program, addresses: Addresses, lines: Line[]) {
    this.#binary = binary;
    this.folder = folder;
    this.#program = program;
    this.#addresses = addresses;
    this.lines = lines;
  }

  /** Starts what `binary` names, on free ports and in a folder of its own. */
  static async start(settings: Record<string, string> = {}, binary = process.env.CAUDAL_BIN): Promise<Platform> {
    const folder = await mkdtemp(path.join(tmpdir(), 'caudal-e2e-'));
    // PostgreSQL, which does not run as root, must be able to pass through.
    await chmod(folder, 0o755);
    const lines: Line[] = [];
    const { program, addresses } = await launch(binary, folder, settings, lines);
    return new Platform(binary, folder, program, addresses, lines);
  }

  get web(): string {
    return this.#addresses.web;
  }
  get hls(): string {
    return this.#addresses.hls;
  }
  get rtmp(): string {
    return this.#addresses.rtmp;
  }
  get admin(): string {
    return this.#addresses.admin;
  }
  get pid(): number {
    return this.#program.pid;
  }
  /** What it said on standard error. */
  get log(): string {
    return this.#program.stderr;
  }

  /** Starts it again in the same folder, and on the same ports so that players and encoders find it. */
  async restart(settings: Record<string, string> = {}): Promise<void> {
    const port = (url: string) => new URL(url.replace(/^rtmp/, 'http')).port;
    const { program, addresses } = await launch(
      this.#binary,
      this.folder,
      {
        PORT: port(this.web),
        HLS_PORT: port(this.hls),
        RTMP_PORT: port(this.rtmp),
        ...settings,
      },
      this.lines,
    );
    this.#program = program;
    this.#addresses = addresses;
  }

  /** Ctrl-C. Gives the exit code. */
  async interrupt(): Promise<number | null> {
    return this.#program.stop('SIGINT');
  }

  /** kill -9. */
  async crash(): Promise<void> {
    await this.#program.stop('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#program.stop('SIGINT');
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The next line that fits, from the start of all lines. */
  line(what: string, fits: (line: Line) => boolean, patience?: number): Promise<Line> {
    return until(what, () => this.lines.find(fits), patience);
  }
}

async function launch(binary: string | undefined, folder: string, settings: Record<string, string>, lines: Line[]) {
  if (!binary) throw new Error('CAUDAL_BIN must name the caudal program: run this by `make e2e`');
  const program = new Program(binary, ['standalone'], {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      CAUDAL_WEB_DIR: process.env.CAUDAL_WEB_DIR,
      CAUDAL_DATA_DIR: folder,
      LOG_FORMAT: 'json',
      PORT: '0',
      HLS_PORT: '0',
      RTMP_PORT: '0',
      CAUDAL_INTERNAL_PORT: '0',
      CAUDAL_ADMIN_PORT: '0',
      // Tests ask more often than people do.
      CAUDAL_REQUESTS_PER_MINUTE: '100000',
      ...settings,
    },
  });
  if (!program.child.stdout) throw new Error('no standard output');
  const from = lines.length;
  createInterface({ input: program.child.stdout }).on('line', (text) => {
    try {
      lines.push(JSON.parse(text) as Line);
    } catch {
      lines.push({ event: 'unreadable', text });
    }
  });
  try {
    const ready = await until(
      'the platform says that it is ready',
      () => {
        if (!program.running) throw new Error('it ended');
        return lines.slice(from).find((line) => line.event === 'ready');
      },
      60_000,
    );
    return { program, addresses: ready as unknown as Addresses };
  } catch (error) {
    await program.stop('SIGKILL');
    throw new Error(`${String(error)}\n${program.stderr}`);
  }
}
