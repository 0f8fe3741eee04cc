import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { freePorts } from './ports.ts';
import { startPostgres } from './postgres.ts';
import { Program, until } from './process.ts';

/** The roles that are started by hand; the controller starts the workers. */
export const ROLES = ['controller', 'api', 'ingest-router', 'hls-edge'] as const;
export type Role = (typeof ROLES)[number];

/** Each role as a process of its own, on this machine, with a PostgreSQL beside them. */
export class SeparateRoles {
  readonly folder: string;
  readonly web: string;
  readonly rtmp: string;
  readonly databaseUrl: string;
  readonly #postgres: Program;
  readonly #environment: Record<string, string | undefined>;
  readonly #ports: Record<Role, { internal: number; admin: number }>;
  readonly #programs = new Map<Role, Program>();

  private constructor(
    folder: string,
    postgres: Program,
    environment: Record<string, string | undefined>,
    ports: Record<Role, { internal: number; admin: number }>,
  ) {
    this.folder = folder;
    this.web = `http://localhost:${environment.PORT}`;
    this.rtmp = String(environment.CAUDAL_PUBLIC_RTMP_URL);
    this.databaseUrl = String(environment.DATABASE_URL);
    this.#postgres = postgres;
    this.#environment = environment;
    this.#ports = ports;
  }

  /** Makes what all roles share, and starts none. */
  static async prepare(settings: Record<string, string> = {}): Promise<SeparateRoles> {
    const folder = await mkdtemp(path.join(tmpdir(), 'caudal-roles-'));
    await mkdir(path.join(folder, 'media'));
    const { postgres, url } = await startPostgres();
    const [web = 0, hls = 0, rtmp = 0, ...others] = await freePorts(3 + 2 * ROLES.length);
    const ports = Object.fromEntries(
      ROLES.map((role, at) => [role, { internal: others[2 * at] ?? 0, admin: others[2 * at + 1] ?? 0 }]),
    ) as Record<Role, { internal: number; admin: number }>;
    // One environment for all, as pods share theirs: each role finds what is its own.
    const environment = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LOG_FORMAT: 'json',
      CAUDAL_SECRET: 'a secret of the end-to-end tests, and no other',
      DATABASE_URL: url,
      CAUDAL_WEB_DIR: process.env.CAUDAL_WEB_DIR,
      CAUDAL_DATA_DIR: path.join(folder, 'data'),
      HLS_PATH: path.join(folder, 'media'),
      PORT: String(web),
      HLS_PORT: String(hls),
      RTMP_PORT: String(rtmp),
      CAUDAL_PUBLIC_HLS_URL: `http://localhost:${hls}`,
      CAUDAL_PUBLIC_RTMP_URL: `rtmp://127.0.0.1:${rtmp}/live`,
      CAUDAL_INTERNAL_API_URL: `http://127.0.0.1:${ports.api.internal}`,
      CAUDAL_INTERNAL_CONTROLLER_URL: `http://127.0.0.1:${ports.controller.internal}`,
      CAUDAL_REQUESTS_PER_MINUTE: '100000',
      ...settings,
    };
    return new SeparateRoles(folder, postgres, environment, ports);
  }

  start(role: Role): void {
    const { internal, admin } = this.#ports[role];
    const listeners = [`--admin-port=${admin}`, ...(role === 'hls-edge' ? [] : [`--internal-port=${internal}`])];
    this.#programs.set(role, this.#run(role, listeners, {}));
  }

  /** Another api beside the first, which nobody but its clients knows; whoever starts it stops it. */
  startAnotherApi(port: number): Program {
    return this.#run('api', ['--admin-port=0', '--internal-port=0'], { PORT: String(port) });
  }

  /** Whether `/readyz` says so; throws when the role has ended. */
  async isReady(role: Role): Promise<boolean> {
    if (!this.program(role).running) throw new Error(`${role} ended: ${this.program(role).stderr}`);
    const { status } = await fetch(`http://127.0.0.1:${this.#ports[role].admin}/readyz`);
    return status === 200;
  }

  async ready(role: Role): Promise<void> {
    await until(`${role} is ready`, () => this.isReady(role).catch((error: unknown) => {
      if (!this.program(role).running) throw error;
      return false;
    }));
  }

  /** kill -9, and a new process once the old one is gone. */
  async replace(role: Role): Promise<void> {
    await this.program(role).stop('SIGKILL');
    this.start(role);
    await this.ready(role);
  }

  #run(role: Role, listeners: string[], settings: Record<string, string>): Program {
    const binary = process.env.CAUDAL_BIN;
    if (!binary) throw new Error('CAUDAL_BIN must name the caudal program: run this by `make e2e`');
    return new Program(binary, [role, ...listeners], { env: { ...this.#environment, ...settings } });
  }

  program(role: Role): Program {
    const program = this.#programs.get(role);
    if (!program) throw new Error(`${role} was not started`);
    return program;
  }

  /** SIGTERM to all that run. Gives their exit codes. */
  async terminate(): Promise<Partial<Record<Role, number | null>>> {
    const ended = [...this.#programs].map(async ([role, program]) => [role, await program.stop('SIGTERM')] as const);
    return Object.fromEntries(await Promise.all(ended)) as Partial<Record<Role, number | null>>;
  }

  async stop(): Promise<void> {
    await this.terminate();
    await this.#postgres.stop('SIGTERM');
    await rm(this.folder, { recursive: true, force: true });
  }
}
