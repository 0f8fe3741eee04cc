import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Plugin } from 'vite';

/** Puts a `.br` and a `.gz` next to every text file of the build: the api sends those as they are. */
export function precompress(): Plugin {
  let folder = '';
  return {
    name: 'caudal-precompress',
    apply: 'build',
    configResolved: ({ build }) => void (folder = build.outDir),
    closeBundle: async () => {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(html|js|css|svg)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const plain = await readFile(path);
        const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };
        for (const [extension, packed] of [
          ['br', await promisify(brotliCompress)(plain, quality)],
          ['gz', await promisify(gzip)(plain, { level: 9 })],
        ] as const) {
          if (packed.length < plain.length) await writeFile(`${path}.${extension}`, packed);
        }
      }
    },
  };
}
