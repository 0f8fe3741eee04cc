import { connect, createServer, type Socket } from 'node:net';

/** A door in front of a local port that is far away: what goes through it comes out `ms` later, in each direction. */
export async function far(port: number, ms: number): Promise<{ port: number; close: () => Promise<void> }> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const beyond = connect(port, '127.0.0.1');
    for (const socket of [near, beyond]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.once('close', () => open.delete(socket));
      socket.on('error', () => {});
    }
    // The kernel of this machine has shaken hands at once: a real one would have taken a round trip first.
    carry(near, beyond, ms, performance.now() + 2 * ms);
    carry(beyond, near, ms, 0);
  });
  const own = await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
  return {
    port: own,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

/** A queue, because timers alone do not keep order. */
function carry(from: Socket, to: Socket, ms: number, notBefore: number): void {
  const queue: { at: number; data: Buffer | undefined }[] = [];
  let waiting = false;
  const deliver = (): void => {
    waiting = false;
    for (let head = queue[0]; head; head = queue[0]) {
      const left = head.at - performance.now();
      if (left > 0.5) {
        waiting = true;
        setTimeout(deliver, left);
        return;
      }
      queue.shift();
      if (to.destroyed) continue;
      if (head.data) to.write(head.data);
      else to.end();
    }
  };
  const put = (data: Buffer | undefined): void => {
    queue.push({ at: Math.max(performance.now() + ms, notBefore + ms), data });
    if (!waiting) deliver();
  };
  from.on('data', put);
  from.on('end', () => put(undefined));
  from.on('close', () => put(undefined));
}
