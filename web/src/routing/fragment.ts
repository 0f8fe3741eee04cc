/** A secret of a link, after the `#`, which browsers send to nobody: `token` of `#token=abc`. */
export function fromFragment(hash: string, name: string): string | null {
  const value = new URLSearchParams(hash.replace(/^#/, '')).get(name)?.trim();
  return value === undefined || value === '' ? null : value;
}

/** Takes the secret of this page's address, and out of the address: it is not to stand in the history. */
export function takeFromFragment(name: string): string | null {
  const value = fromFragment(location.hash, name);
  if (value !== null) history.replaceState(history.state, '', location.pathname + location.search);
  return value;
}
