/**
 * A page of a payment service that the browser may be sent to: with HTTPS, or on this machine, where tests have one.
 * `null` for anything else, whatever a server says.
 */
export function paymentPage(address: string | null): string | null {
  if (address === null) return null;
  try {
    const { protocol, hostname, href } = new URL(address);
    const allowed = protocol === 'https:' || (protocol === 'http:' && LOCAL.has(hostname));
    return allowed ? href : null;
  } catch {
    return null;
  }
}

const LOCAL: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost']);
