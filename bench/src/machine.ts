import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

/** What the figures were measured on. */
export function machine(): string {
  const [first] = cpus();
  return [
    `${new Date().toISOString().slice(0, 10)}: ${first?.model.trim()}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`,
    `Node.js ${process.version}, ${said('ffmpeg', ['-version'])}, ${said('chromium', ['--version'])}, Caudal ${said('git', ['describe', '--always', '--dirty'])}`,
  ].join('\n\n');
}

function said(program: string, args: string[]): string {
  try {
    const [line = ''] = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n');
    return line.replace(/ Copyright.*/, '').trim();
  } catch {
    return `no ${program}`;
  }
}
