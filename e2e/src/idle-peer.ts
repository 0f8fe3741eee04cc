import { connect, type Socket } from 'node:net';

/** What a peer says first, and what it goes on saying each half second. */
export interface Habit {
  first: string;
  then?: string;
}

/** A peer that never reads and never closes. */
export class IdlePeer {
  readonly port: number;
  readonly #socket: Socket;
  readonly #saying: NodeJS.Timeout | undefined;

  private constructor(socket: Socket, habit: Habit) {
    this.#socket = socket;
    this.port = socket.localPort ?? 0;
    socket.pause();
    if (habit.first !== '') socket.write(habit.first, 'latin1');
    const { then } = habit;
    if (then !== undefined) {
      this.#saying = setInterval(() => socket.writable && socket.write(then, 'latin1'), 500);
    }
  }

  static open(port: number, habit: Habit, from = '127.0.0.1'): Promise<IdlePeer | undefined> {
    return new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, localAddress: from, allowHalfOpen: true });
      // A reset is one way for a connection to end.
      socket.on('error', () => resolve(undefined));
      socket.once('connect', () => resolve(new IdlePeer(socket, habit)));
    });
  }

  close(): void {
    clearInterval(this.#saying);
    this.#socket.destroy();
  }
}

/** A request, many times: more answers than the sockets between the two hold. */
const FLOOD = 'GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(100_000);

/** Peers that owe every listener something, whatever protocol it speaks. */
export const HABITS: Record<string, Habit> = {
  'says nothing': { first: '' },
  'says a letter that begins two protocols': { first: 'P' },
  'says half an HTTP/2 preface': { first: 'PRI * HTTP/2.0\r\n' },
  'opens HTTP/2 and no stream': { first: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0' },
  'says half a TLS hello': { first: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc' },
  'says half an RTMP handshake': { first: `\x03${'x'.repeat(700)}` },
  'says an RTMP handshake and no more': { first: `\x03${'x'.repeat(3072)}` },
  'says a request a letter at a time': { first: 'GET / HTTP/1.1\r\nX: ', then: 'x' },
  'says a body a letter at a time': {
    first: 'POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n',
    then: ' ',
  },
  'asks once and stays': { first: 'GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n' },
  'asks again and again and reads nothing': { first: FLOOD },
};
