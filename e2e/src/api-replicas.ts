import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { freePorts } from './ports.ts';
import { startPostgres } from './postgres.ts';
import { Program, until } from './process.ts';

/** Replicas of the api that share a PostgreSQL, which can be cut off, and a Redis, which can be killed. */
export class ApiReplicas {
  readonly urls: string[];
  readonly #folder: string;
  readonly #postgres: Program;
  readonly #wire: CutWire;
  readonly #environment: Record<string, string | undefined>;
  readonly #redisPort: number;
  readonly #adminPorts: number[];
  readonly #programs: (Program | undefined)[];
  #redis: Program;

  private constructor(
    folder: string,
    postgres: Program,
    wire: CutWire,
    environment: Record<string, string | undefined>,
    redis: { program: Program; port: number },
    ports: { web: number[]; admin: number[] },
  ) {
    this.urls = ports.web.map((port) => `http://127.0.0.1:${port}`);
    this.#folder = folder;
    this.#postgres = postgres;
    this.#wire = wire;
    this.#environment = environment;
    this.#redis = redis.program;
    this.#redisPort = redis.port;
    this.#adminPorts = ports.admin;
    this.#programs = ports.web.map(() => undefined);
  }

  static async start(count: number): Promise<ApiReplicas> {
    const folder = await mkdtemp(path.join(tmpdir(), 'caudal-replicas-'));
    const { postgres, url } = await startPostgres();
    const wire = await CutWire.to(Number(new URL(url).port));
    const throughWire = new URL(url);
    throughWire.port = String(wire.port);
    const [redisPort = 0, controller = 0, ...ports] = await freePorts(2 + 2 * count);
    const redis = await startRedis(folder, redisPort);
    const environment = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LOG_FORMAT: 'json',
      CAUDAL_SECRET: 'a secret of the end-to-end tests, and no other',
      DATABASE_URL: throughWire.href,
      REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      CAUDAL_WEB_DIR: process.env.CAUDAL_WEB_DIR,
      CAUDAL_DATA_DIR: path.join(folder, 'data'),
      CAUDAL_PUBLIC_HLS_URL: 'http://localhost:1',
      CAUDAL_PUBLIC_RTMP_URL: 'rtmp://127.0.0.1:1/live',
      // Nobody is there: chat and accounts need no lifecycle.
      CAUDAL_INTERNAL_CONTROLLER_URL: `http://127.0.0.1:${controller}`,
      CAUDAL_REQUESTS_PER_MINUTE: '100000',
    };
    const replicas = new ApiReplicas(folder, postgres, wire, environment, { program: redis, port: redisPort }, {
      web: ports.slice(0, count),
      admin: ports.slice(count),
    });
    for (let replica = 0; replica < count; replica += 1) await replicas.run(replica);
    return replicas;
  }

  /** Starts a replica and waits until it is ready. */
  async run(replica: number): Promise<void> {
    const { CAUDAL_BIN } = process.env;
    if (!CAUDAL_BIN) throw new Error('CAUDAL_BIN must name the caudal program: run this by `make e2e`');
    const [admin, port] = [this.#adminPorts[replica], new URL(this.urls[replica] ?? '').port];
    const program = new Program(CAUDAL_BIN, ['api', `--admin-port=${admin}`, '--internal-port=0'], {
      env: { ...this.#environment, PORT: port },
    });
    this.#programs[replica] = program;
    await until(`replica ${replica} is ready`, async () => {
      if (!program.running) throw new Error(program.stderr);
      // Never ready by its own word, because there is no controller.
      return (await fetch(`${this.urls[replica]}/api/streams`)).status === 200;
    });
  }

  async kill(replica: number): Promise<void> {
    await this.#programs[replica]?.stop('SIGKILL');
  }

  async killRedis(): Promise<void> {
    await this.#redis.stop('SIGKILL');
  }

  /** With what it had written down. */
  async startRedis(): Promise<void> {
    this.#redis = await startRedis(this.#folder, this.#redisPort);
  }

  cutPostgresOff(): void {
    this.#wire.cut();
  }

  mendPostgres(): void {
    this.#wire.mend();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program?.stop('SIGTERM')));
    await this.#redis.stop('SIGTERM');
    this.#wire.close();
    await this.#postgres.stop('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function startRedis(folder: string, port: number): Promise<Program> {
  // As docs/operating.md wants it where a message that was accepted must outlive Redis.
  const redis = new Program('redis-server', [
    '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec',
  ]);
  await until('Redis', async () => {
    if (!redis.running) throw new Error(redis.stderr);
    return answers(port);
  });
  return redis;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.once('data', (text) => {
      socket.destroy();
      resolve(text.toString().startsWith('+PONG'));
    });
    socket.once('error', () => resolve(false));
  });
}

/** A port that leads to another one until it is cut: then nobody gets through, and who was through is cut off. */
class CutWire {
  readonly port: number;
  readonly #server: Server;
  readonly #through: Set<Socket>;
  #isCut = false;

  private constructor(server: Server, to: number) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#through = new Set();
    server.on('connection', (near) => {
      if (this.#isCut) return near.destroy();
      const far = connect(to, '127.0.0.1');
      for (const [one, other] of [[near, far], [far, near]] as const) {
        this.#through.add(one);
        one.on('error', () => one.destroy());
        one.on('close', () => {
          this.#through.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
  }

  static async to(port: number): Promise<CutWire> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new CutWire(server, port);
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#through) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
