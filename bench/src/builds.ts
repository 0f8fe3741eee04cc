import path from 'node:path';

/** A build of caudal. */
export interface Build {
  /** How tables call it. */
  name: string;
  program: string;
}

/** What `CAUDAL_BIN` names. */
export const OURS: Build = { name: 'Caudal', program: process.env.CAUDAL_BIN ?? '' };

/** Ours and, where `BENCH_BEFORE` names an earlier build, that one too: measured in the same run, on the same minutes of a machine. */
export const BUILDS: Build[] = process.env.BENCH_BEFORE ? [OURS, { name: 'Caudal before', program: process.env.BENCH_BEFORE }] : [OURS];

/** A program of `bench/probes`, built together with the one that is measured. */
export function probe(name: string, build = OURS): string {
  return path.join(path.dirname(build.program), name);
}
