import { readFile } from 'node:fs/promises';

/** The sum of a metric's series whose labels hold all of `labels`, as an admin listener shows them. */
export async function metric(admin: string, name: string, labels: string[] = []): Promise<number> {
  const response = await fetch(`${admin}/metrics`);
  if (!response.ok) throw new Error(`metrics: ${response.status}`);
  return (await response.text())
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** The names that an admin listener shows, without what a histogram adds to its own. */
export async function metricNames(admin: string): Promise<string[]> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);
}

/**
 * The metrics that docs/metrics.md describes. Not every platform shows those with labels, which must have counted something,
 * and those of which it says that a setting brings them.
 */
export async function documentedMetrics(): Promise<{ name: string; always: boolean }[]> {
  const text = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  return [...text.matchAll(/^\| `(caudal_\w+)(\{[^}]*\})?` \|(.*)$/gm)].map(([, name = '', labels, words]) => ({
    name,
    always: labels === undefined && !words?.includes('Only with `'),
  }));
}
