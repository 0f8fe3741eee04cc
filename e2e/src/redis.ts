import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { freePorts } from './ports.ts';
import { Program, until } from './process.ts';

/** A Redis that can be killed and started again with what it had written down. */
export class RedisServer {
  readonly #folder: string;
  readonly #port: number;
  #program: Program;

  private constructor(folder: string, port: number, program: Program) {
    this.#folder = folder;
    this.#port = port;
    this.#program = program;
  }

  static async start(): Promise<RedisServer> {
    const folder = await mkdtemp(path.join(tmpdir(), 'caudal-redis-'));
    const [port = 0] = await freePorts(1);
    return new RedisServer(folder, port, await launch(folder, port));
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  async kill(): Promise<void> {
    await this.#program.stop('SIGKILL');
  }

  async startAgain(): Promise<void> {
    this.#program = await launch(this.#folder, this.#port);
  }

  async stop(): Promise<void> {
    await this.#program.stop('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function launch(folder: string, port: number): Promise<Program> {
  // As docs/operating.md wants it where nothing that was accepted may be lost.
  const redis = new Program('redis-server', [
    '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always',
  ]);
  await until('Redis', () => {
    if (!redis.running) throw new Error(redis.stderr);
    return isReady(port);
  });
  return redis;
}

/** Whether it answers; while it reads what it had written down it says LOADING. */
function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.once('data', (text) => {
      socket.destroy();
      resolve(text.toString().startsWith('+PONG'));
    });
    socket.once('error', () => resolve(false));
  });
}
