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
