/** A streamer, made through the public api. */
export interface Account {
  username: string;
  password: string;
  accessToken: string;
  streamKey: string;
  rtmpUrl: string;
}

export interface Stream {
  id: string;
  title: string;
  isLive: boolean;
  streamUrl: string;
  dashUrl: string;
  thumbnailUrl: string | null;
  viewerCount: number;
  startedAt: string | null;
  endedAt: string | null;
  user: { id: string; username: string };
}

/** A request to the api; throws what the api said when it refuses. */
export async function api<T>(
  base: string,
  method: string,
  path: string,
  options: { token?: string; body?: unknown; from?: string } = {},
): Promise<T> {
  const response = await fetch(base + path, {
    method,
    headers: {
      ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
      ...(options.from ? { 'x-forwarded-for': options.from } : {}),
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: options.body === undefined ? null : JSON.stringify(options.body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Settings under which people may come from as many addresses as a test has use for. */
export const BEHIND_A_PROXY = { CAUDAL_TRUSTED_PROXIES: '127.0.0.0/8,::1' };

/** Opens an account; `from` is the address that a proxy names, as one address may not open many at once. */
export async function register(base: string, username: string, from?: string): Promise<Account> {
  const password = 'correct horse battery staple';
  const { accessToken } = await api<{ accessToken: string }>(base, 'POST', '/api/auth/register', {
    ...(from && { from }),
    body: { username, email: `${username}@example.org`, password },
  });
  const { streamKey, rtmpUrl } = await api<{ streamKey: string; rtmpUrl: string }>(
    base,
    'GET',
    '/api/auth/stream-key',
    { token: accessToken },
  );
  return { username, password, accessToken, streamKey, rtmpUrl };
}

let names = 0;

/** A username that this test file has not used yet: a test that is run a second time would find its own taken. */
export function fresh(name: string): string {
  names += 1;
  return `${name}${names}`;
}
