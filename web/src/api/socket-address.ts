/** Where a WebSocket of the api is, as seen from this page. */
export function socketAddress(path: string): URL {
  const address = new URL(path, location.href);
  address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return address;
}
