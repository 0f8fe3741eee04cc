/** Registers another streamer and gives where they publish. Each from an address of its own, which may do so only rarely. */
export async function streamer(web: string, number: number): Promise<string> {
  const from = { 'x-forwarded-for': `10.0.0.${number + 1}`, 'content-type': 'application/json' };
  const name = `streamer${number}`;
  const registered = await fetch(`${web}/api/auth/register`, {
    method: 'POST',
    headers: from,
    body: JSON.stringify({ username: name, email: `${name}@example.org`, password: 'correct horse battery staple' }),
  });
  if (!registered.ok) throw new Error(await registered.text());
  const { accessToken } = (await registered.json()) as { accessToken: string };
  const key = await fetch(`${web}/api/auth/stream-key`, { headers: { ...from, authorization: `Bearer ${accessToken}` } });
  const { rtmpUrl, streamKey } = (await key.json()) as { rtmpUrl: string; streamKey: string };
  return `${rtmpUrl}/${streamKey}`;
}
