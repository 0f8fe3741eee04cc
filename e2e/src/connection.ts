import { readFile, readdir, readlink } from 'node:fs/promises';

/** One end of an established TCP connection, as the kernel sees it: the same inode is the same connection. */
export interface Connection {
  inode: string;
  localPort: number;
}

/** The connections that process `pid` has to `port` on this machine. */
export async function connections(pid: number, port: number): Promise<Connection[]> {
  const sockets = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode) sockets.add(inode);
  }
  const found: Connection[] = [];
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)) {
    const [, local = '', remote = '', state, , , , , , inode = ''] = line.trim().split(/\s+/);
    if (state !== ESTABLISHED || hexPort(remote) !== port || !sockets.has(inode)) continue;
    found.push({ inode, localPort: hexPort(local) });
  }
  return found;
}

function hexPort(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16);
}

const ESTABLISHED = '01';
