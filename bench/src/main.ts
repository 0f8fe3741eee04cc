/** How fast, how late and how dear, beside peers where they are installed. Prints tables; judges nothing. */
import { measureChat } from './chat.ts';
import { measureCost } from './cost.ts';
import { measureEdge } from './edge.ts';
import { measureGlass, measureGlassFar, measureGlassPeers } from './glass.ts';
import { measureIdle } from './idle.ts';
import { measureLists } from './lists.ts';
import { measureLoad } from './load.ts';
import { machine } from './machine.ts';
import { measureOperator } from './operator.ts';
import { measurePackaging } from './packaging.ts';
import { measureRouter } from './router.ts';
import { measureRungs } from './rungs.ts';
import { measureSoak } from './soak.ts';
import { measureStart } from './start.ts';

const MEASUREMENTS: Record<string, () => Promise<void>> = {
  packaging: measurePackaging,
  cost: measureCost,
  edge: measureEdge,
  start: measureStart,
  glass: measureGlass,
  'glass-far': measureGlassFar,
  'glass-peers': measureGlassPeers,
  rungs: measureRungs,
  router: measureRouter,
  idle: measureIdle,
  chat: measureChat,
  lists: measureLists,
  load: measureLoad,
};

/** Only by name: half an hour, and two hours. */
const LONG: typeof MEASUREMENTS = { operator: measureOperator, soak: measureSoak };

const known = { ...MEASUREMENTS, ...LONG };
const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(MEASUREMENTS);
const unknown = names.filter((name) => !(name in known));
if (unknown.length > 0) throw new Error(`no measurement ${unknown.join(', ')}; there are ${Object.keys(known).join(', ')}`);

console.log(machine());
let failed = 0;
for (const name of names) {
  try {
    await known[name]?.();
  } catch (error) {
    // The others are worth having all the same.
    failed += 1;
    console.log(`\n${name}: not measured, because it failed.\n`);
    console.error(error);
  }
}
// A browser or a socket that is still closing must not hold the shell.
process.exit(failed > 0 ? 1 : 0);
