import { render } from 'svelte/server';
import { describe, expect, it } from 'vitest';
import type { Stream } from '../api/streams.ts';
import StreamCard from './StreamCard.svelte';

const NOW = Date.parse('2026-01-02T12:00:00Z');
const STREAM: Stream = {
  id: 's1',
  user: { id: 'u1', username: 'ana', displayName: 'Ana <3' },
  title: 'Songs from the harbour',
  description: null,
  categories: ['a', 'b', 'c', 'd'].map((id) => ({ id, name: id.toUpperCase(), slug: id })),
  language: null,
  thumbnailUrl: null,
  streamUrl: null,
  dashUrl: null,
  isLive: true,
  viewerCount: 3,
  startedAt: '2026-01-02T11:48:00Z',
  endedAt: null,
  createdAt: '2026-01-02T11:48:00Z',
};

describe('a stream’s card', () => {
  const { body } = render(StreamCard, { props: { stream: STREAM, now: NOW, heading: 'h3' } });
  const links = [...body.matchAll(/<a [^>]*href="([^"]*)"[^>]*>(.*?)<\/a>/gs)];

  it('leads to the stream first, then to the person and the categories', () => {
    expect(links.map(([, href]) => href)).toEqual([
      '/watch/s1',
      '/@ana',
      '/categories/a',
      '/categories/b',
      '/categories/c',
      '/@ana',
    ]);
  });

  it('has no link inside another', () => {
    for (const [, , inside] of links) expect(inside).not.toContain('<a');
  });

  it('is one stop of the Tab key for the person, though the avatar leads there too', () => {
    const [name, face] = links.filter(([, href]) => href === '/@ana').map(([link]) => link);
    expect(name).not.toContain('tabindex');
    expect(face).toMatch(/tabindex="-1" aria-hidden="true"/);
  });

  it('shows names as they are, and its title at the level that the page asks for', () => {
    expect(body).toContain('Ana &lt;3');
    expect(body).toMatch(/<h3[^>]*>/);
  });
});
