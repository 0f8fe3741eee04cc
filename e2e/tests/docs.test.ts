import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, test } from 'vitest';

const repository = path.resolve(import.meta.dirname, '../..');

test('every link of the documentation leads to a file that is there, and to a heading of it', async () => {
  const pages = ['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md', 'web/README.md', 'api/API-DESIGN.md'];
  for (const entry of await readdir(path.join(repository, 'docs'), { recursive: true })) if (entry.endsWith('.md')) pages.push(`docs/${entry}`);
  expect(pages).toContain('docs/kubernetes/debug.md');
  const broken: string[] = [];
  for (const page of pages) {
    for (const [, link = ''] of withoutCode(await readFile(path.join(repository, page), 'utf8')).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):/.test(link)) continue;
      const [file = '', heading] = link.split('#');
      const target = path.join(repository, file ? path.join(path.dirname(page), file) : page);
      if (!existsSync(target) || (heading && !(await headings(target)).has(heading))) broken.push(`${page}: ${link}`);
    }
  }
  expect(broken).toEqual([]);
});

function withoutCode(text: string): string {
  return text.replaceAll(/^```[^]*?^```/gm, '');
}

/** As GitHub names the anchors. */
async function headings(file: string): Promise<Set<string>> {
  const found = withoutCode(await readFile(file, 'utf8')).matchAll(/^#+ (.+)$/gm);
  return new Set([...found].map(([, words = '']) => words.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, '').replaceAll(' ', '-')));
}
