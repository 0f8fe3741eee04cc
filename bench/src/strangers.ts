import { connect } from 'node:net';

import type { Platform } from '../../e2e/src/platform.ts';
import { publishing } from '../../e2e/src/rtmp-peer.ts';
import { pause } from './table.ts';

/** What a stranger does: bytes for one of the ports, each from an address of its own. */
interface Knock {
  port: 'rtmp' | 'web' | 'hls';
  /** Nothing for those who say nothing. */
  says: string;
  /** How long the stranger stays at most. */
  staysMs: number;
}

/** Strangers who knock on every door all the time, in as many ways as there are in [`ways`]. */
export class StrangerCrowd {
  knocks = 0;
  readonly #ports: Record<Knock['port'], number>;
  readonly #count: number;
  /** How each stranger who is at a door leaves it. */
  readonly #knocking = new Set<() => void>();
  #over = false;
  #strangers: Promise<void>[] = [];

  constructor(platform: Platform, count: number) {
    const port = (url: string): number => Number(new URL(url.replace(/^rtmp/, 'http')).port);
    this.#ports = { rtmp: port(platform.rtmp), web: port(platform.web), hls: port(platform.hls) };
    this.#count = count;
  }

  /** `stream` is one that is live, to ask for what it does not have. */
  start(stream: string): void {
    this.#strangers = Array.from({ length: this.#count }, (_, number) => this.#stranger(number, stream));
  }

  async stop(): Promise<void> {
    this.#over = true;
    for (const leave of this.#knocking) leave();
    await Promise.all(this.#strangers);
  }

  async #stranger(number: number, stream: string): Promise<void> {
    for (let turn = 0; !this.#over; turn += 1) {
      const all = ways(stream, `${number}x${turn}`);
      const knock = all[(number + turn) % all.length];
      if (knock) await this.#knock(knock, `127.0.${1 + (number >> 7)}.${1 + (number & 127)}`);
      this.knocks += 1;
      await pause(200 + ((number * 37 + turn * 101) % 1000));
    }
  }

  #knock({ port, says, staysMs }: Knock, localAddress: string): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: this.#ports[port], localAddress });
      const leave = (): void => {
        clearTimeout(stay);
        this.#knocking.delete(leave);
        socket.destroy();
        resolve();
      };
      const stay = setTimeout(leave, staysMs);
      this.#knocking.add(leave);
      socket.on('connect', () => {
        if (says !== '') socket.write(says, 'latin1');
      });
      // An answer that is read is no burden; being refused is one way for it to end.
      socket.on('data', () => {});
      socket.on('error', () => {});
      socket.on('close', leave);
    });
  }
}

function ways(stream: string, unique: string): Knock[] {
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
  const post = (path: string, body: object): string => {
    const text = JSON.stringify(body);
    return (
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${text.length}\r\n\r\n${text}`
    );
  };
  const hello = String.fromCharCode(3) + '\0'.repeat(3072);
  return [
    { port: 'rtmp', says: '', staysMs: 20_000 },
    { port: 'rtmp', says: hello, staysMs: 20_000 },
    {
      port: 'rtmp',
      says: publishing('live', `sk_${unique}`, 'rtmp://127.0.0.1/live').toString('latin1'),
      staysMs: 10_000,
    },
    { port: 'rtmp', says: `GET /${unique} HTTP/1.1\r\n\r\n`, staysMs: 5_000 },
    { port: 'web', says: '', staysMs: 20_000 },
    { port: 'web', says: 'PRI * HTTP/2.0\r\n\r\n', staysMs: 20_000 },
    { port: 'web', says: get(`/${unique}`), staysMs: 5_000 },
    { port: 'web', says: get(`/api/streams?q=${unique}`), staysMs: 5_000 },
    { port: 'web', says: post('/api/auth/login', { login: `nobody${unique}`, password: 'wrong horse battery' }), staysMs: 10_000 },
    { port: 'hls', says: 'P', staysMs: 20_000 },
    { port: 'hls', says: get(`/live/${stream}/made${unique}/1-1.m4s`), staysMs: 5_000 },
    { port: 'hls', says: get(`/live/${stream}/source/index.m3u8?v=${unique}`), staysMs: 5_000 },
    { port: 'hls', says: get('/live/01999999-9999-7999-8999-999999999999/master.m3u8'), staysMs: 5_000 },
  ];
}
