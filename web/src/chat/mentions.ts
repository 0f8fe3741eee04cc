/** A message in pieces. Each is shown as text, whatever it is: nothing a viewer writes becomes markup. */
export type Fragment =
  | { kind: 'text'; text: string }
  | { kind: 'link'; text: string; href: string }
  /** `name` is without the `@`. */
  | { kind: 'mention'; text: string; name: string };

export function fragments(message: string): Fragment[] {
  const found: Fragment[] = [];
  let plain = 0;
  for (const match of message.matchAll(INTERESTING)) {
    const at = match.index ?? 0;
    const fragment = match[0].startsWith('@') ? mention(message, at, match[0]) : link(match[0]);
    if (fragment === null) continue;
    if (at > plain) found.push({ kind: 'text', text: message.slice(plain, at) });
    found.push(fragment);
    plain = at + fragment.text.length;
  }
  if (plain < message.length) found.push({ kind: 'text', text: message.slice(plain) });
  return found;
}

/** Names are the same whatever their case. */
export function isSameName(one: string, other: string): boolean {
  return fold(one) === fold(other);
}

export function mentions(message: string, username: string): boolean {
  return fragments(message).some(
    (fragment) => fragment.kind === 'mention' && isSameName(fragment.name, username),
  );
}

function mention(message: string, at: number, match: string): Fragment | null {
  // An email address is nobody's name.
  if (/[\p{L}\p{N}_]$/u.test(message.slice(Math.max(0, at - 2), at))) return null;
  const text = match.replace(/[.-]+$/, '');
  return text === '@' ? null : { kind: 'mention', text, name: text.slice(1) };
}

function link(match: string): Fragment | null {
  const text = withoutTrailing(match);
  try {
    const { protocol, username, password, href } = new URL(text);
    // `https://bank.example@evil.example` leads to the latter, and looks as if it led to the former.
    const honest = username === '' && password === '' && (protocol === 'https:' || protocol === 'http:');
    return honest ? { kind: 'link', text, href } : null;
  } catch {
    return null;
  }
}

/** What ends a sentence belongs to the sentence; a closing bracket too, unless the address opened it. */
function withoutTrailing(address: string): string {
  let text = address;
  for (;;) {
    const last = text.slice(-1);
    const opening = BRACKETS[last];
    const unopened = opening !== undefined && text.split(last).length > text.split(opening).length;
    if (!unopened && !/[.,;:!?'"…»”’*]/u.test(last)) return text;
    text = text.slice(0, -1);
  }
}

function fold(name: string): string {
  return name.normalize('NFKC').toLowerCase();
}

const BRACKETS: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{' };
const INTERESTING = /https?:\/\/[^\s<>]+|@[\p{L}\p{N}_.-]+/giu;
