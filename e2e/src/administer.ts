import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import type { Platform } from './platform.ts';

/** `caudal admin …` beside a platform: what it prints. Throws what it says when it cannot. */
export async function administer(platform: Platform, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.env.CAUDAL_BIN ?? '', ['admin', ...args], {
    env: { PATH: process.env.PATH, CAUDAL_DATA_DIR: platform.folder },
  });
  return stdout;
}
