import Hls, { AttrList, Events, Fragment, Part, PlaylistLevelType, type FragmentTracker } from 'hls.js';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { prune, PruningBufferController } from './pruned-tracker.ts';

const SEGMENT = 2;
const PARTS = 10;
const { MAIN, AUDIO } = PlaylistLevelType;

/** A tracker as hls.js makes it, which hears what the test tells it. */
function newTracker() {
  let made: FragmentTracker | undefined;
  class Watching extends PruningBufferController {
    constructor(hls: Hls, tracker: FragmentTracker) {
      super(hls, tracker);
      made = tracker;
    }
  }
  new Hls({ bufferController: Watching, enableWorker: false }).destroy();
  const Tracker = made?.constructor as new (hls: unknown) => FragmentTracker;
  const heard = new Map<string, (event: string, data: unknown) => void>();
  const listener = {
    on: (name: string, listen: (event: string, data: unknown) => void, self: unknown) =>
      heard.set(name, listen.bind(self)),
    off: () => undefined,
    trigger: () => undefined,
  };
  const tracker = new Tracker(listener);
  const tell = (name: string, data: unknown) => heard.get(name)?.(name, data);
  return { tracker, tell, size: () => Object.keys(Reflect.get(tracker, 'fragments') as object).length };
}

/** Watches a live stream in parts, with a browser that drops what is older than `kept` seconds. */
function watch(seconds: number, kept: number, { joinedAt = 0, pruned = true } = {}) {
  const { tracker, tell, size } = newTracker();
  const range = { start: joinedAt, end: joinedAt };
  const buffered = { length: 1, start: () => range.start, end: () => range.end };
  let most = 0;
  let newest: Fragment | undefined;
  for (let sn = Math.floor(joinedAt / SEGMENT); sn * SEGMENT < joinedAt + seconds; sn += 1) {
    for (const [type, stream] of [
      [MAIN, 'video'],
      [AUDIO, 'audio'],
    ] as const) {
      const frag = new Fragment(type, 'http://edge.test/');
      Object.assign(frag, { sn, level: 0, start: sn * SEGMENT, duration: SEGMENT });
      for (let index = 0; index < PARTS; index += 1) {
        const end = sn * SEGMENT + ((index + 1) * SEGMENT) / PARTS;
        if (end <= joinedAt) continue;
        const last = index === PARTS - 1;
        if (last) frag.relurl = 's.m4s';
        const attributes = new AttrList(`DURATION=0.2,URI="p${index}.m4s"`);
        const part = new Part(attributes, frag as never, 'http://edge.test/', index);
        tell(Events.FRAG_LOADED, { frag, part });
        range.end = end;
        range.start = Math.max(range.start, end - kept);
        frag.setElementaryStreamInfo(stream as never, frag.start, end, frag.start, end, !last);
        tell(Events.BUFFER_APPENDED, { frag, part, timeRanges: { video: buffered, audio: buffered } });
        tell(Events.FRAG_BUFFERED, { frag, part, id: type, stats: {} });
      }
      if (type === MAIN) newest = frag;
      most = Math.max(most, size());
    }
    if (pruned) prune(tracker, { currentTime: range.end - 0.3, buffered });
  }
  return { tracker, most, range, newest };
}

describe('the fragments that hls.js knows of', () => {
  beforeAll(() => {
    vi.stubGlobal('self', globalThis);
    return () => vi.unstubAllGlobals();
  });

  it('would grow without end in low-latency play if nobody pruned them', () => {
    const { most } = watch(600, 30, { pruned: false });
    const all = (2 * 600) / SEGMENT;
    expect(most, 'hls.js does it by itself now: take PruningBufferController away').toBeGreaterThan(
      0.9 * all,
    );
  });

  it('are those of the browser’s buffer and a minute, however long somebody watches', () => {
    const kept = 30;
    const most = (2 * (kept + 60)) / SEGMENT + 4;
    expect(watch(600, kept).most).toBeLessThanOrEqual(most);
    expect(watch(3600, kept).most).toBeLessThanOrEqual(most);
  });

  it('include everything that the viewer can go back to', () => {
    const { tracker, range } = watch(600, 120);
    for (let position = Math.ceil(range.start); position < range.end; position += 1) {
      expect(tracker.getBufferedFrag(position, MAIN)?.sn, String(position)).toBe(
        Math.floor(position / SEGMENT),
      );
      expect(tracker.getBufferedFrag(position, AUDIO), String(position)).not.toBeNull();
    }
  });

  it('include the segment in whose middle somebody has joined, with its parts', () => {
    const { tracker, newest, range } = watch(0.4, 30, { joinedAt: 1001.4 });
    expect(tracker.getAppendedFrag(range.end - 0.1, MAIN)).not.toBeNull();
    expect(tracker.hasParts(MAIN)).toBe(true);
    expect(newest && tracker.getState(newest)).not.toBe('NOT_LOADED');
  });

  it('include gaps ahead of the picture, which are not to be loaded again', () => {
    const { tracker, range } = watch(300, 30);
    const gap = new Fragment(MAIN, 'http://edge.test/');
    Object.assign(gap, { sn: 500, level: 0, start: range.end, duration: 200, gap: true });
    tracker.addAsGap(gap as never);
    prune(tracker, { currentTime: range.end, buffered: { length: 1, start: () => range.end + 200 } });
    expect(tracker.gapFragments()).toHaveLength(1);
  });

  it('stay while nothing is buffered at all', () => {
    const removed = vi.fn();
    prune({ removeFragmentsInRange: removed }, { currentTime: 900, buffered: { length: 0, start: () => 0 } });
    expect(removed).not.toHaveBeenCalled();
  });

  it('are pruned by the player that hls.js makes with our buffer controller, each time the picture enters a fragment', () => {
    const hls = new Hls({ bufferController: PruningBufferController, enableWorker: false });
    const buffered = { length: 1, start: () => 500, end: () => 600 };
    Object.defineProperty(hls, 'media', { value: { currentTime: 590, buffered } });
    const frag = new Fragment(MAIN, 'http://edge.test/');
    Object.assign(frag, { sn: 1, level: 0, start: 2, duration: SEGMENT });
    const controller = Reflect.get(hls, 'bufferController') as object;
    const tracker = Reflect.get(controller, 'fragmentTracker') as FragmentTracker;
    tracker.fragBuffered(frag as never, true);
    expect(tracker.getBufferedFrag(3, MAIN)).not.toBeNull();
    hls.trigger(Events.FRAG_CHANGED, { frag, previousFrag: null } as never);
    expect(tracker.getBufferedFrag(3, MAIN)).toBeNull();
    hls.destroy();
  });
});
