import { cp, mkdtemp, readFile, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A copy of the built pages that a test may update under a running platform. */
export class WebBuild {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async copy(): Promise<WebBuild> {
    const from = process.env.CAUDAL_WEB_DIR;
    if (!from) throw new Error('CAUDAL_WEB_DIR must name the built pages: run this by `make e2e`');
    const build = new WebBuild(await mkdtemp(path.join(tmpdir(), 'caudal-web-')));
    await cp(from, build.folder, { recursive: true });
    await build.#settle();
    return build;
  }

  /**
   * Puts another build in its place: every name that carries a hash gets another of the same length, and each file keeps
   * its date, as reproducible packages do.
   */
  async update(): Promise<void> {
    const assets = path.join(this.folder, 'assets');
    const hashes = new Map<string, string>();
    for (const name of await readdir(assets)) {
      const hash = /-([\w-]{8})\.\w+$/.exec(name)?.[1];
      if (hash !== undefined) hashes.set(hash, another(hash));
    }
    const renamed = (text: string) =>
      [...hashes].reduce((rest, [old, fresh]) => rest.replaceAll(`-${old}.`, `-${fresh}.`), text);
    for (const file of await this.#files()) {
      if (!/\.(html|js|css)$/.test(file)) continue;
      await writeFile(file, renamed(await readFile(file, 'utf8')));
    }
    for (const name of await readdir(assets)) await rename(path.join(assets, name), path.join(assets, renamed(name)));
    await this.#settle();
  }

  /** Takes files away, as an update does that was interrupted. */
  async lose(pattern: RegExp): Promise<void> {
    for (const file of await this.#files()) if (pattern.test(path.basename(file))) await rm(file);
  }

  /** Takes the place of another folder. */
  async moveTo(folder: string): Promise<void> {
    await cp(this.folder, folder, { recursive: true });
    await this.remove();
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /** One date for all, and no packed copies, which would still hold the old names. */
  async #settle(): Promise<void> {
    for (const file of await this.#files()) {
      if (/\.(br|gz)$/.test(file)) await rm(file);
      else await utimes(file, 1, 1);
    }
  }

  async #files(): Promise<string[]> {
    const entries = await readdir(this.folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  }
}

/** The hash with its letters turned over: another name of the same length. */
function another(hash: string): string {
  return hash.replace(/[a-zA-Z]/g, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()));
}
