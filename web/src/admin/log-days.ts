/** Of what is typed into fields of days (`2026-11-30`): from the first one's midnight to that behind the last one, where the reader is. */
export function daysBetween(first: string, last: string): { since?: Date; until?: Date } {
  const [since, until] = [midnight(first, 0), midnight(last, 1)];
  return { ...(since === null ? {} : { since }), ...(until === null ? {} : { until }) };
}

function midnight(day: string, later: number): Date | null {
  const [, year, month, date] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day) ?? [];
  if (year === undefined) return null;
  // Days of summer time have other lengths, so the calendar counts and not the hours.
  return new Date(Number(year), Number(month) - 1, Number(date) + later);
}
