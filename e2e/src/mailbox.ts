import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * A mail server that takes everything and keeps it: as much of RFC 5321 as a client needs that has one mail to send.
 * It does not prove TLS, log-ins, or that anything would be delivered.
 */
export class Mailbox {
  /** What came, headers and all. */
  readonly mails: string[] = [];
  #server: Server;
  #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(): Promise<Mailbox> {
    const server = createServer();
    const mailbox = new Mailbox(server);
    server.on('connection', (socket) => mailbox.#serve(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return mailbox;
  }

  /** As SMTP_URL has it. */
  get url(): string {
    return `smtp://127.0.0.1:${(this.#server.address() as AddressInfo).port}?tls=none`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let heard = '';
    let inMail = false;
    socket.write('220 mailbox\r\n');
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
      for (;;) {
        const end = heard.indexOf(inMail ? '\r\n.\r\n' : '\r\n');
        if (end < 0) return;
        const what = heard.slice(0, end);
        heard = heard.slice(end + (inMail ? 5 : 2));
        if (inMail) this.mails.push(what);
        inMail = !inMail && what.toUpperCase() === 'DATA';
        socket.write(inMail ? '354 go on\r\n' : '250 ok\r\n');
        if (what.toUpperCase() === 'QUIT') socket.end();
      }
    });
  }
}
