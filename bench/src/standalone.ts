import { api, register, type Account } from '../../e2e/src/account.ts';
import { Platform } from '../../e2e/src/platform.ts';
import { until } from '../../e2e/src/process.ts';
import { OURS } from './builds.ts';
import { tree } from './processes.ts';

/** A platform with one streamer. */
export interface Stage {
  platform: Platform;
  account: Account;
  /** Where they publish, key and all. */
  url: string;
}

export async function stage(settings: Record<string, string> = {}, build = OURS): Promise<Stage> {
  const platform = await Platform.start(settings, build.program);
  const account = await register(platform.web, 'bench');
  await warm(platform);
  return { platform, account, url: `${account.rtmpUrl}/${account.streamKey}` };
}

/** A stream that was announced before anybody publishes: its page can be opened already. */
export async function prepared({ platform, account }: Stage): Promise<string> {
  const { id } = await api<{ id: string }>(platform.web, 'POST', '/api/streams', {
    token: account.accessToken,
    body: { title: 'Bench' },
  });
  return id;
}

/** Waits until a worker process stands by. */
export async function warm(platform: Platform): Promise<void> {
  await until('a warm worker', async () => (await workers(platform)).length > 0);
}

/** Every worker process, idle or not. */
export async function workers(platform: Platform): Promise<number[]> {
  const processes = await tree(platform.pid);
  return processes.filter((one) => one.command.includes('transcoder-worker')).map((one) => one.pid);
}
