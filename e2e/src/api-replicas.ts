import { freePorts } from './ports.ts';
import { takeAway } from './postgres.ts';
import { Program, until } from './process.ts';
import { RedisServer } from './redis.ts';
import { ROLES, SeparateRoles } from './separate-roles.ts';

/** A platform of separate roles with two replicas of the api, which share PostgreSQL and Redis. */
export class ApiReplicas {
  readonly roles: SeparateRoles;
  readonly redis: RedisServer;
  /** Where the replicas are, that one first which the other roles know. */
  readonly bases: [string, string];
  readonly #port: number;
  #second: Program;

  private constructor(roles: SeparateRoles, redis: RedisServer, port: number) {
    this.roles = roles;
    this.redis = redis;
    this.#port = port;
    this.bases = [roles.web.replace('localhost', '127.0.0.1'), `http://127.0.0.1:${port}`];
    this.#second = roles.startAnotherApi(port);
  }

  static async start(settings: Record<string, string> = {}): Promise<ApiReplicas> {
    const redis = await RedisServer.start();
    const roles = await SeparateRoles.prepare({ ...settings, REDIS_URL: redis.url, CAUDAL_API_REPLICAS: 'several' });
    for (const role of ROLES) roles.start(role);
    const [port = 0] = await freePorts(1);
    const replicas = new ApiReplicas(roles, redis, port);
    for (const role of ROLES) await roles.ready(role);
    await replicas.#answers(1);
    return replicas;
  }

  async kill(replica: 0 | 1): Promise<void> {
    await (replica === 0 ? this.roles.program('api') : this.#second).stop('SIGKILL');
  }

  async startAgain(replica: 0 | 1): Promise<void> {
    if (replica === 0) this.roles.start('api');
    else this.#second = this.roles.startAnotherApi(this.#port);
    await this.#answers(replica);
  }

  /** Stops PostgreSQL; what it gives starts it again. */
  takePostgresAway(): Promise<() => Promise<void>> {
    return takeAway(this.roles.databaseUrl);
  }

  async stop(): Promise<void> {
    await this.#second.stop('SIGTERM');
    await this.roles.stop();
    await this.redis.stop();
  }

  async #answers(replica: 0 | 1): Promise<void> {
    const program = replica === 0 ? this.roles.program('api') : this.#second;
    await until(`replica ${replica} answers`, async () => {
      if (!program.running) throw new Error(program.stderr);
      return (await fetch(`${this.bases[replica]}/api/streams`)).ok;
    });
  }
}
