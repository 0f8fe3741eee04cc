import { ROLES, SeparateRoles } from '../../e2e/src/separate-roles.ts';
import { played, type Played } from './operator.ts';
import { itself, load, type Cost } from './processes.ts';
import { Publisher } from './publisher.ts';
import { Recording, SMALL } from './recording.ts';
import { streamer } from './streamer.ts';
import { pause, progress, table, title } from './table.ts';

const COUNTS = [0, 10, 100];
/** A minute, so that what happens once in some seconds is in it. */
const SECONDS = 60;
/** A replay is 15 s, and what a start sets off is over by then. */
const SETTLE_MS = 30_000;
const BETWEEN_STARTS_MS = 250;

type Load = Pick<Cost, 'rssMiB'> & { cores: number };

/** What each role takes as a process of its own: while nobody streams, and with streams that nobody watches. */
export async function measureIdle(): Promise<void> {
  const most = Math.max(...COUNTS);
  const seen = new Map<string, Map<number, Load>>();
  const note = (who: string, count: number, of: Load) => {
    seen.set(who, (seen.get(who) ?? new Map<number, Load>()).set(count, of));
    progress(`idle, ${count} live, ${who}: ${(of.cores * 100).toFixed(2)} % of a core, ${of.rssMiB.toFixed(0)} MiB`);
  };
  for (const one of await played(['--cold', '0', '--rates', '0', '--burst', '0', '--held', COUNTS.slice(1).join(',')])) {
    if (one.scenario === 'idle' || one.scenario === 'held') note('operator', one.figures.streams ?? 0, operator(one));
  }
  const recording = await Recording.make(SMALL);
  const publishers: Publisher[] = [];
  const roles = await SeparateRoles.prepare({
    CAUDAL_LADDER: 'none',
    CAUDAL_MAX_STREAMS: String(most + 1),
    CAUDAL_MAX_CONNECTIONS_PER_ADDRESS: String(most + 1),
    CAUDAL_TRUSTED_PROXIES: '127.0.0.0/8',
  });
  try {
    for (const role of ROLES) roles.start(role);
    for (const role of ROLES) await roles.ready(role);
    const tags = await recording.tags();
    const urls: string[] = [];
    while (urls.length < most) urls.push(await streamer(roles.web, urls.length));
    // What a hundred registrations have left with the allocator is no idle api's.
    await roles.replace('api');
    for (const count of COUNTS) {
      while (publishers.length < count) {
        publishers.push(await Publisher.start(urls[publishers.length] ?? '', tags));
        await pause(BETWEEN_STARTS_MS);
      }
      await pause(SETTLE_MS);
      const controller = roles.program('controller').pid;
      const measured = await Promise.all([
        ...ROLES.map(async (role) => {
          const { pid } = roles.program(role);
          return [role, await load(pid, SECONDS, itself(pid))] as const;
        }),
        load(controller, SECONDS, (one) => one.pid !== controller).then((of) => ['workers, all of them', of] as const),
      ]);
      const gone = publishers.filter((one) => !one.running).length;
      if (gone > 0) throw new Error(`${gone} of ${count} publishers were not kept`);
      for (const [who, of] of measured) note(who, count, of);
    }
  } finally {
    for (const publisher of publishers) await publisher.stop();
    await roles.stop();
    await recording.remove();
  }
  title(`Idle: each role as a process of its own, publishers of 0.4 Mb/s without a ladder, no viewers, over ${SECONDS} s`);
  table(
    ['process', ...COUNTS.flatMap((count) => [`${count} live: RSS MiB`, '% of a core'])],
    [...seen].map(([who, loads]) => [
      who,
      ...COUNTS.flatMap((count) => {
        const of = loads.get(count);
        return of ? [of.rssMiB.toFixed(0), (of.cores * 100).toFixed(2)] : ['–', '–'];
      }),
    ]),
  );
}

function operator({ processes }: Played): Load {
  return processes.find(({ process }) => process === 'operator') ?? { cores: Number.NaN, rssMiB: Number.NaN };
}
