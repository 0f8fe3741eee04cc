import { spawnSync } from 'node:child_process';
import { mkdtemp, open, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A disk of a few megabytes that a test may fill, lock and empty. Needs root, for the mount. */
export class SmallDisk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async mount(megabytes: number): Promise<SmallDisk> {
    const folder = await mkdtemp(path.join(tmpdir(), 'caudal-disk-'));
    run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0755`, 'caudal-test', folder]);
    return new SmallDisk(folder);
  }

  /** Whether this machine and user can have one. */
  static get possible(): boolean {
    return process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
  }

  /** Takes all the room that is left. */
  async fill(): Promise<void> {
    const file = await open(this.#ballast, 'a');
    try {
      for (let size = 1 << 20; size >= 1 << 12; ) {
        try {
          const { bytesWritten } = await file.write(Buffer.alloc(size));
          if (bytesWritten < size) size >>= 1;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
          size >>= 1;
        }
      }
    } finally {
      await file.close();
    }
  }

  async free(): Promise<void> {
    await rm(this.#ballast, { force: true });
  }

  allow(access: 'ro' | 'rw'): void {
    run('mount', ['-o', `remount,${access}`, this.folder]);
  }

  /** Removes everything on it. */
  async empty(): Promise<void> {
    for (const entry of await readdir(this.folder)) {
      await rm(path.join(this.folder, entry), { recursive: true, force: true });
    }
  }

  async unmount(): Promise<void> {
    // Lazily, so that nothing is left even where a program still holds a file.
    run('umount', ['-l', this.folder]);
    await rmdir(this.folder);
  }

  get #ballast(): string {
    return path.join(this.folder, 'ballast');
  }
}

function run(command: string, args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}
