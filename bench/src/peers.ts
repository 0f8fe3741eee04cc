import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Program, until } from '../../e2e/src/process.ts';
import { OURS } from './builds.ts';
import { stage } from './standalone.ts';

/** A server, ready to be published to. */
export interface Peer {
  name: string;
  url: string;
  pid: number;
  /** What players are given, if it has HLS. */
  playlist?: string;
  stop: () => Promise<unknown>;
}

/** Ours, with its whole platform around it: PostgreSQL, api, web pages. */
export async function caudal(ladder: string, build = OURS): Promise<Peer> {
  const { platform, url } = await stage({ CAUDAL_LADDER: ladder }, build);
  return { name: `${build.name}, ladder ${ladder}`, url, pid: platform.pid, stop: () => platform.stop() };
}

/** nginx with its RTMP module and HLS, as Debian has it; undefined when it is not installed. */
export async function nginxRtmp(): Promise<Peer | undefined> {
  const module = '/usr/lib/nginx/modules/ngx_rtmp_module.so';
  if (!existsSync(module)) return undefined;
  const [port, http] = [await freePort(), await freePort()];
  const server = await nginx(
    (folder) => `rtmp { server { listen 127.0.0.1:${port}; chunk_size 60000;
  application live { live on; hls on; hls_path ${folder}/hls; hls_fragment 2s; hls_playlist_length 12s; } } }
http { access_log off; server { listen 127.0.0.1:${http}; root ${folder}/hls; add_header Access-Control-Allow-Origin *; } }`,
    port,
    { load: `load_module ${module};` },
  );
  return {
    ...server,
    name: 'nginx-rtmp, HLS',
    url: `rtmp://127.0.0.1:${port}/live/bench`,
    playlist: `http://127.0.0.1:${http}/bench.m3u8`,
  };
}

/** nginx that serves a folder's `files`; undefined when it is not installed. */
export async function nginxFiles(files: Record<string, Buffer>): Promise<{ url: string; pid: number; stop: () => Promise<unknown> } | undefined> {
  if (!existsSync(NGINX)) return undefined;
  const port = await freePort();
  const server = await nginx(
    (folder) => `http { access_log off; keepalive_requests 100000000; open_file_cache max=100; tcp_nodelay on; sendfile on;
  server { listen 127.0.0.1:${port}; root ${folder}; } }`,
    port,
    { files },
  );
  return { ...server, url: `http://127.0.0.1:${port}` };
}

/** Node-Media-Server 2 with HLS by its ffmpeg child; undefined when it is not installed. */
export async function nodeMediaServer2(): Promise<Peer | undefined> {
  const server = await nodeServer('Node-Media-Server 2, HLS', 'node-media-server', (home, port, http, folder) => `
const Server = require(${JSON.stringify(home)});
new Server({ logType: 1, rtmp: { port: ${port}, chunk_size: 60000, gop_cache: true, ping: 30, ping_timeout: 60 },
  http: { port: ${http}, mediaroot: ${JSON.stringify(path.join(folder, 'media'))}, allow_origin: '*' },
  trans: { ffmpeg: '/usr/bin/ffmpeg', tasks: [{ app: 'live', vc: 'copy', ac: 'copy', hls: true,
    hlsFlags: '[hls_time=2:hls_list_size=3:hls_flags=delete_segments]' }] } }).run();
`);
  return server && { ...server, playlist: `${server.http}/live/bench/index.m3u8` };
}

/** Node-Media-Server 4, which has no HLS: it receives, and would send FLV; undefined when it is not installed. */
export function nodeMediaServer4(): Promise<Peer | undefined> {
  return nodeServer('Node-Media-Server 4, no HLS', 'node-media-server-4', (home, port, http, folder) => `
const Server = require(${JSON.stringify(home)});
new Server({ bind: '127.0.0.1', rtmp: { port: ${port} }, http: { port: ${http} }, auth: { play: false, publish: false },
  store: { path: ${JSON.stringify(path.join(folder, 'data'))} }, record: { auto: false, path: ${JSON.stringify(folder)} } }).run();
`);
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function listening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).once('error', () => resolve(false));
  });
}

async function nginx(
  rest: (folder: string) => string,
  port: number,
  { load = '', files = {} }: { load?: string; files?: Record<string, Buffer> },
): Promise<{ pid: number; stop: () => Promise<unknown> }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-bench-'));
  const config = path.join(folder, 'nginx.conf');
  for (const [name, data] of Object.entries(files)) await writeFile(path.join(folder, name), data);
  await writeFile(
    config,
    `${load}
daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
${rest(folder)}
`,
  );
  const program = new Program(NGINX, ['-c', config, '-p', folder]);
  await until('nginx listens', () => listening(port));
  return {
    pid: program.pid,
    stop: async () => {
      await program.stop('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function nodeServer(
  name: string,
  packageName: string,
  script: (home: string, port: number, http: number, folder: string) => string,
): Promise<(Peer & { http: string }) | undefined> {
  const home = path.resolve(import.meta.dirname, '../node_modules', packageName);
  if (!existsSync(home)) return undefined;
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-bench-'));
  const [port, http] = [await freePort(), await freePort()];
  const file = path.join(folder, 'server.cjs');
  await writeFile(file, script(home, port, http, folder));
  const program = new Program(process.execPath, [file], { cwd: folder });
  // Its log is not read; a full pipe would stop it.
  program.child.stdout?.resume();
  await until(`${name} listens`, () => listening(port));
  return {
    name,
    url: `rtmp://127.0.0.1:${port}/live/bench`,
    http: `http://127.0.0.1:${http}`,
    pid: program.pid,
    stop: async () => {
      await program.stop('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const NGINX = '/usr/sbin/nginx';
