import { readFile, readdir, readlink } from 'node:fs/promises';

/** One end of an established TCP connection, as the kernel sees it: the same inode is the same connection. */
export interface Connection {
  inode: string;
  localPort: number;
}

/** The connections that process `pid` has to `port` on this machine. */
export async function connections(pid: number, port: number): Promise<Connection[]> {
  return (await sockets(pid))
    .filter((one) => one.state === ESTABLISHED && one.remotePort === port)
    .map(({ inode, localPort }) => ({ inode, localPort }));
}

/** The ports that process `pid` listens on. */
export async function listeningPorts(pid: number): Promise<number[]> {
  return (await sockets(pid)).filter((one) => one.state === LISTEN).map(({ localPort }) => localPort);
}

/** How many of the connections from `remotes` to `port` of this machine the listening side still holds open. */
export async function heldOpen(port: number, remotes: ReadonlySet<number>): Promise<number> {
  const held = (one: Socket) =>
    one.localPort === port && remotes.has(one.remotePort) && HELD.includes(one.state);
  return (await allSockets()).filter(held).length;
}

interface Socket extends Connection {
  remotePort: number;
  state: string;
}

async function sockets(pid: number): Promise<Socket[]> {
  const own = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode) own.add(inode);
  }
  return (await allSockets()).filter(({ inode }) => own.has(inode));
}

async function allSockets(): Promise<Socket[]> {
  return (await readFile('/proc/net/tcp', 'utf8'))
    .split('\n')
    .slice(1)
    .map((line) => {
      const [, local = '', remote = '', state = '', , , , , , inode = ''] = line.trim().split(/\s+/);
      return { inode, state, localPort: hexPort(local), remotePort: hexPort(remote) };
    });
}

function hexPort(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16);
}

const ESTABLISHED = '01';
const LISTEN = '0A';
/** Established, and close-wait: the other side has gone, and this one has not closed. */
const HELD = [ESTABLISHED, '08'];
