import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Program, until } from '../../e2e/src/process.ts';

/** A server beside ours, ready to be published to. */
export interface Peer {
  name: string;
  url: string;
  pid: number;
  stop: () => Promise<unknown>;
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
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).once('error', () => resolve(false));
  });
}

/** nginx with its RTMP module and HLS, as Debian has it; undefined when it is not installed. */
export async function nginx(): Promise<Peer | undefined> {
  const module = '/usr/lib/nginx/modules/ngx_rtmp_module.so';
  if (!existsSync(module)) return undefined;
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-bench-'));
  const port = await freePort();
  const config = path.join(folder, 'nginx.conf');
  await writeFile(
    config,
    `load_module ${module};
daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log; user root;
events { worker_connections 256; }
rtmp { server { listen 127.0.0.1:${port}; chunk_size 60000;
  application live { live on; hls on; hls_path ${folder}/hls; hls_fragment 2s; hls_playlist_length 12s; } } }
`,
  );
  const program = new Program('/usr/sbin/nginx', ['-c', config, '-p', folder]);
  await until('nginx listens', () => listening(port));
  return {
    name: 'nginx-rtmp, HLS',
    url: `rtmp://127.0.0.1:${port}/live/bench`,
    pid: program.pid,
    stop: async () => {
      await program.stop('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Node-Media-Server 2 with HLS by its ffmpeg child; undefined when it is not installed. */
export async function nodeMediaServer(): Promise<Peer | undefined> {
  const home = path.resolve(import.meta.dirname, '../node_modules/node-media-server');
  if (!existsSync(home)) return undefined;
  const folder = await mkdtemp(path.join(tmpdir(), 'caudal-bench-'));
  const [port, http] = [await freePort(), await freePort()];
  const script = path.join(folder, 'server.cjs');
  await writeFile(
    script,
    `const Server = require(${JSON.stringify(home)});
new Server({ logType: 1, rtmp: { port: ${port}, chunk_size: 60000, gop_cache: true, ping: 30, ping_timeout: 60 },
  http: { port: ${http}, mediaroot: ${JSON.stringify(path.join(folder, 'media'))}, allow_origin: '*' },
  trans: { ffmpeg: '/usr/bin/ffmpeg', tasks: [{ app: 'live', vc: 'copy', ac: 'copy', hls: true,
    hlsFlags: '[hls_time=2:hls_list_size=3:hls_flags=delete_segments]' }] } }).run();
`,
  );
  const program = new Program(process.execPath, [script]);
  await until('Node-Media-Server listens', () => listening(port));
  return {
    name: 'Node-Media-Server 2, HLS',
    url: `rtmp://127.0.0.1:${port}/live/bench`,
    pid: program.pid,
    stop: async () => {
      await program.stop('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
