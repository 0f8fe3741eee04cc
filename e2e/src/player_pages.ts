import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** Players that run in a browser, each as its makers' first example starts it. */
export type BrowserPlayer = 'hls.js' | 'shaka' | 'dash.js';

const resolve = createRequire(import.meta.url).resolve;

const scripts: Record<BrowserPlayer, { library: string; join: string }> = {
  'hls.js': {
    library: resolve('hls.js/dist/hls.js'),
    join: `const hls = new Hls();
      hls.on(Hls.Events.ERROR, (_, data) => note('hls.js: ' + data.details + (data.fatal ? ' (fatal)' : '')));
      hls.loadSource(url);
      hls.attachMedia(video);`,
  },
  shaka: {
    library: resolve('shaka-player/dist/shaka-player.compiled.js'),
    join: `shaka.polyfill.installAll();
      const player = new shaka.Player();
      player.addEventListener('error', (event) => note('shaka: ' + event.detail.code));
      player.attach(video).then(() => player.load(url)).then(() => video.play())
        .catch((error) => note('shaka: ' + (error.code ?? error)));`,
  },
  'dash.js': {
    library: resolve('dashjs'),
    join: `const player = dashjs.MediaPlayer().create();
      player.on('error', (event) => note('dash.js: ' + (event.error?.message ?? event.error)));
      player.initialize(video, url, true);`,
  },
};

/** Serves a page for each browser player, from the packages that npm installed; nothing comes from elsewhere. */
export class PlayerPages {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async serve(): Promise<PlayerPages> {
    const server = createServer((request, response) => {
      void answer(request.url ?? '/').then(({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
      });
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return new PlayerPages(server);
  }

  url(player: BrowserPlayer): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${player}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}

async function answer(path: string): Promise<{ status: number; type: string; body: string }> {
  const [, name = '', file] = path.split('/');
  const script = scripts[name as BrowserPlayer];
  if (!script) return { status: 404, type: 'text/plain', body: 'no such player' };
  if (file === 'library.js') {
    return { status: 200, type: 'text/javascript', body: await readFile(script.library, 'utf8') };
  }
  return {
    status: 200,
    type: 'text/html',
    body: `<!doctype html><meta charset="utf-8"><title>${name}</title>
<video muted autoplay playsinline></video>
<script src="/${name}/library.js"></script>
<script>
  const video = document.querySelector('video');
  const notes = [];
  const note = (text) => notes.push((performance.now() / 1000).toFixed(1) + ' ' + text);
  addEventListener('error', (event) => note(String(event.message)));
  function join(url) { ${script.join} }
</script>`,
  };
}
