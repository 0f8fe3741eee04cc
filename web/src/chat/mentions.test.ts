import { describe, expect, it } from 'vitest';
import { fragments, mentions } from './mentions.ts';

/** Links in angle brackets, mentions in square ones. */
const shown = (message: string) =>
  fragments(message)
    .map(({ kind, text }) => (kind === 'link' ? `<${text}>` : kind === 'mention' ? `[${text}]` : text))
    .join('|');

describe('a message', () => {
  it.each([
    ['', ''],
    ['plain words', 'plain words'],
    ['hi @ana!', 'hi |[@ana]|!'],
    ['@ana @bob', '[@ana]| |[@bob]'],
    ['(@Tomás)', '(|[@Tomás]|)'],
    ['@pottery.live.', '[@pottery.live]|.'],
    ['mail ana@example.org', 'mail ana@example.org'],
    ['@ @. me', '@ @. me'],
    ['see https://example.org/a?b=c#d.', 'see |<https://example.org/a?b=c#d>|.'],
    ['(https://en.wikipedia.org/wiki/A_(b))', '(|<https://en.wikipedia.org/wiki/A_(b)>|)'],
    ['HTTP://EXAMPLE.ORG', '<HTTP://EXAMPLE.ORG>'],
    ['"https://example.org", yes', '"|<https://example.org>|", yes'],
    ['https://example.org/@ana', '<https://example.org/@ana>'],
    // What only looks like an address, or leads elsewhere than it says.
    ['https://', 'https://'],
    ['javascript:alert(1)', 'javascript:alert(1)'],
    ['data:text/html,x ftp://x.org', 'data:text/html,x ftp://x.org'],
    ['https://bank.example@evil.example', 'https://bank.example@evil.example'],
    ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
    ['https://a.b<script>', '<https://a.b>|<script>'],
  ])('%j is shown as %s', (message, pieces) => {
    expect(shown(message)).toBe(pieces);
    expect(
      fragments(message)
        .map(({ text }) => text)
        .join(''),
    ).toBe(message);
  });

  it.each([
    ['hey @Ana', 'ana', true],
    ['hey @anabel', 'ana', false],
    ['hey ana', 'ana', false],
    ['x@ana', 'ana', false],
    ['@TOMÁS', 'Tomás', true],
  ])('%j mentions %s: %s', (message, username, expected) => {
    expect(mentions(message, username)).toBe(expected);
  });
});
