import { ErrorDetails, ErrorTypes, Events } from 'hls.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LivePlayer } from './live-player.ts';

/** What a browser does to an element whose media is replaced: it pauses, without saying so. */
class FakeVideo extends EventTarget {
  paused = true;
  plays = 0;
  currentTime = 0;
  playbackRate = 1;
  seeking = false;
  videoWidth = 640;
  readyState = 4;
  range = { start: 0, end: 0 };
  get buffered() {
    const { start, end } = this.range;
    return { length: end > start ? 1 : 0, start: () => start, end: () => end };
  }
  async play() {
    this.plays += 1;
    if (!this.paused) return;
    this.paused = false;
    this.dispatchEvent(new Event('play'));
  }
  pause() {
    this.paused = true;
  }
  load() {
    this.paused = true;
  }
  removeAttribute() {
    // There is nothing to remove.
  }
  /** What is called with the next picture. */
  picture: VideoFrameRequestCallback | undefined;
  requestVideoFrameCallback(picture: VideoFrameRequestCallback) {
    this.picture = picture;
    return 0;
  }
  getVideoPlaybackQuality() {
    return { totalVideoFrames: 0 };
  }
}

interface Made {
  config: Record<string, unknown>;
  levels: { uri: string }[];
  manualLevel: number;
  loadLevel: number;
  playingDate?: Date;
  loading: boolean;
  say: (event: Events, data?: object) => void;
}

const hlss: Made[] = [];
let video: FakeVideo;
/** The document, and the window. */
let page: EventTarget;
let player: LivePlayer;

vi.mock('hls.js', async (original) => {
  const real = await original<typeof import('hls.js')>();
  class FakeHls {
    static isSupported = () => true;
    levels: { uri: string }[] = [];
    manualLevel = -1;
    inFlightFragments = { main: { state: 'STOPPED' } };
    #heard = new Map<string, (event: string, data: unknown) => void>();
    constructor(readonly config: Record<string, unknown>) {
      hlss.push(this as unknown as Made);
    }
    get loadLevel() {
      return this.manualLevel;
    }
    set loadLevel(level: number) {
      this.manualLevel = level;
    }
    on(event: string, listen: (event: string, data: unknown) => void) {
      this.#heard.set(event, listen);
    }
    say(event: string, data: object = {}) {
      this.#heard.get(event)?.(event, data);
    }
    loadSource() {
      // The test says what comes.
    }
    loading = true;
    startLoad() {
      this.loading = true;
    }
    stopLoad() {
      this.loading = false;
    }
    attachMedia() {
      video.load();
    }
    recoverMediaError() {
      video.load();
    }
    destroy() {
      video.load();
    }
  }
  return { ...real, default: FakeHls };
});

beforeEach(async () => {
  vi.useFakeTimers();
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('location', { href: 'https://caudal.test/watch/s1' });
  vi.stubGlobal('HTMLMediaElement', { HAVE_FUTURE_DATA: 3 });
  page = new EventTarget();
  vi.stubGlobal('document', page);
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
  hlss.length = 0;
  video = new FakeVideo();
  const { LivePlayer } = await import('./live-player.ts');
  player = new LivePlayer(video as unknown as HTMLVideoElement, 'https://edge.test/live/s1/master.m3u8');
  await player.play();
});

afterEach(() => {
  player.destroy();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const hls = () => {
  const newest = hlss.at(-1);
  if (newest === undefined) throw new Error('no Hls was made');
  return newest;
};

function parsed(...names: string[]) {
  hls().levels = names.map((name) => ({ uri: `https://edge.test/live/s1/${name}/index.m3u8` }));
  hls().say(Events.MANIFEST_PARSED);
}

const fatal = (type: ErrorTypes, details: ErrorDetails) =>
  hls().say(Events.ERROR, { type, details, fatal: true });
const mediaError = () => fatal(ErrorTypes.MEDIA_ERROR, ErrorDetails.BUFFER_APPEND_ERROR);

/** Whatever the first remedies are, at last the player starts anew. */
function restarted() {
  const before = hlss.length;
  for (let n = 0; n < 9 && hlss.length === before; n += 1) {
    fatal(ErrorTypes.NETWORK_ERROR, ErrorDetails.LEVEL_LOAD_ERROR);
    vi.advanceTimersByTime(10_000);
  }
  expect(hlss.length).toBe(before + 1);
}

describe('a viewer', () => {
  beforeEach(() => {
    parsed('360p', '720p', 'source');
    video.dispatchEvent(new Event('playing'));
  });

  it.each([
    ['the player starts anew', restarted],
    ['the decoder is reset', mediaError],
  ])('who has paused stays paused when %s', (_, happens) => {
    player.pause();
    const { plays } = video;
    happens();
    expect(video.paused).toBe(true);
    expect(video.plays).toBe(plays);
  });

  it.each([
    ['the player starts anew', restarted],
    ['the decoder is reset', mediaError],
  ])('who was watching goes on watching when %s', (_, happens) => {
    happens();
    expect(video.paused).toBe(false);
  });

  it('who has chosen a quality keeps it when the player starts anew, wherever it is listed then', () => {
    player.choose(1);
    restarted();
    parsed('720p', 'source');
    expect(player.snapshot().chosen).toBe(0);
  });

  it('who has chosen none keeps that too', () => {
    restarted();
    parsed('360p', '720p', 'source');
    expect(player.snapshot().chosen).toBe(-1);
  });

  it('who has chosen a quality keeps it through an error that hls.js would let go of it for', () => {
    expect(hls().config['preserveManualLevelOnError']).toBe(true);
    player.choose(1);
    hls().say(Events.ERROR, {
      type: ErrorTypes.NETWORK_ERROR,
      details: ErrorDetails.FRAG_LOAD_ERROR,
      fatal: false,
      frag: { type: 'main', level: 1 },
      response: { code: 404 },
      // `NetworkErrorAction.SendAlternateToPenaltyBox`
      errorAction: { action: 2 },
    });
    expect(player.snapshot().chosen).toBe(1);
  });

  it('whose quality the server has taken away sees another one, also after the player starts anew', () => {
    player.choose(1);
    hls().say(Events.ERROR, {
      type: ErrorTypes.NETWORK_ERROR,
      details: ErrorDetails.LEVEL_LOAD_ERROR,
      fatal: false,
      context: { level: 1 },
      response: { code: 404 },
    });
    expect(player.snapshot().chosen).toBe(-1);
    restarted();
    parsed('360p', '720p', 'source');
    expect(player.snapshot().chosen).toBe(-1);
  });

  it('has a playhead by the stream’s clock while they watch live, and none otherwise', () => {
    const shown = new Date('2026-11-30T18:04:05.678Z');
    expect(player.playhead()).toBeNull();
    hls().playingDate = shown;
    expect(player.playhead()).toBe('2026-11-30T18:04:05.678Z');
    player.pause();
    expect(player.playhead()).toBeNull();
    void player.play();
    video.range = { start: 0, end: 60 };
    video.currentTime = 40;
    player.seekBy(-5);
    expect(player.playhead(), 'they went back in time').toBeNull();
    player.goLive();
    expect(player.playhead()).toBe('2026-11-30T18:04:05.678Z');
    hls().playingDate = new Date(Number.NaN);
    expect(player.playhead()).toBeNull();
  });

  it('whose press was half of a double-click is where they were, and as far behind', () => {
    video.range = { start: 0, end: 60 };
    video.currentTime = 40;
    player.seekBy(-5);
    const place = player.place;
    player.pause();
    player.goBackTo(place);
    expect(video.paused).toBe(false);
    expect(video.currentTime).toBe(35);
    expect(player.snapshot().following).toBe(false);
  });

  it('whose press was half of a double-click still looks at the picture at which they had paused', () => {
    video.range = { start: 0, end: 60 };
    video.currentTime = 45;
    player.seekBy(-5);
    player.pause();
    const place = player.place;
    player.resume();
    expect(video.currentTime).toBeGreaterThan(50);
    player.goBackTo(place);
    expect(video.paused).toBe(true);
    expect(video.currentTime).toBe(40);
    expect(player.snapshot().following).toBe(false);
  });
});

describe('a page that sleeps', () => {
  beforeEach(() => {
    parsed('360p', '720p');
    video.dispatchEvent(new Event('playing'));
    video.range = { start: 0, end: 34 };
    video.currentTime = 33;
  });

  function sleeps(...events: string[]) {
    for (const event of events) {
      page.dispatchEvent(new Event(event));
      // As the browser does it.
      video.paused = true;
    }
  }

  it.each([
    ['is frozen', ['freeze'], 'resume'],
    ['is put aside', ['pagehide'], 'pageshow'],
    ['is put aside and frozen', ['pagehide', 'freeze'], 'resume'],
  ])('goes on at now by itself when it %s and comes back', (_, events, wakes) => {
    sleeps(...events);
    video.range = { start: 0, end: 60 };
    page.dispatchEvent(new Event(wakes));
    expect(video.paused).toBe(false);
    expect(video.currentTime).toBeGreaterThan(59);
  });

  it('stays paused if it was', () => {
    player.pause();
    sleeps('pagehide', 'freeze');
    page.dispatchEvent(new Event('resume'));
    page.dispatchEvent(new Event('pageshow'));
    expect(video.paused).toBe(true);
    expect(video.currentTime).toBe(33);
  });

  it('stays paused if that came after it woke', () => {
    sleeps('pagehide', 'freeze');
    page.dispatchEvent(new Event('resume'));
    player.pause();
    page.dispatchEvent(new Event('pageshow'));
    expect(video.paused).toBe(true);
  });

  it('is left alone once the player is gone', () => {
    const { plays } = video;
    page.dispatchEvent(new Event('freeze'));
    player.destroy();
    page.dispatchEvent(new Event('resume'));
    expect(video.plays).toBe(plays);
  });
});

describe('a player that is paused', () => {
  const status = () => player.snapshot().answeredAt;
  beforeEach(() => {
    parsed('360p', '720p');
    player.pause();
  });

  it('loads nothing more after a while, and goes on with the first press', () => {
    vi.advanceTimersByTime(19_000);
    expect(hls().loading).toBe(true);
    vi.advanceTimersByTime(2_000);
    expect(hls().loading).toBe(false);
    player.resume();
    expect(hls().loading).toBe(true);
  });

  it('loads on when it was paused for moments only', () => {
    for (let pauses = 0; pauses < 10; pauses += 1) {
      vi.advanceTimersByTime(15_000);
      void player.play();
      vi.advanceTimersByTime(100);
      player.pause();
    }
    expect(hls().loading).toBe(true);
  });

  it('rests again after it had to start anew', () => {
    vi.advanceTimersByTime(21_000);
    restarted();
    expect(hls().loading).toBe(true);
    vi.advanceTimersByTime(21_000);
    expect(hls().loading).toBe(false);
  });

  it('rests too when its picture is stuck with plenty to play, until that moves', () => {
    void player.play();
    video.dispatchEvent(new Event('playing'));
    video.currentTime = 10;
    video.seeking = true;
    vi.advanceTimersByTime(60_000);
    expect(hls().loading, 'there is nothing to play').toBe(true);
    video.range = { start: 0, end: 31 };
    vi.advanceTimersByTime(25_000);
    expect(hls().loading).toBe(false);
    video.seeking = false;
    video.currentTime = 11;
    vi.advanceTimersByTime(100);
    expect(hls().loading).toBe(true);
  });

  it('does not say that the server is silent, which it no longer asks', () => {
    vi.advanceTimersByTime(60_000);
    const before = status();
    vi.advanceTimersByTime(60_000);
    expect(status() - before).toBeCloseTo(60);
    void player.play();
    expect(performance.now() / 1000 - status()).toBeLessThan(1);
  });
});

describe('a stall', () => {
  const lasts = (ms: number) => {
    video.dispatchEvent(new Event('waiting'));
    vi.advanceTimersByTime(ms);
  };
  const plays = () => {
    video.dispatchEvent(new Event('playing'));
    video.currentTime += 0.05;
    video.range = { start: 0, end: video.currentTime + 0.3 };
    vi.advanceTimersByTime(50);
    return player.snapshot().target;
  };

  it('makes the buffer larger, unless it was a hole that hls.js stepped over', () => {
    const usual = plays();
    lasts(2000);
    video.dispatchEvent(new Event('seeking'));
    expect(plays()).toBe(usual);
    lasts(2000);
    expect(plays()).toBeGreaterThan(usual);
  });
});

describe('the buffer of a viewer whose network is calm', () => {
  let count = 0;
  const show = (presentationTime: number) => {
    const metadata = { presentationTime, presentedFrames: (count += 1) } as VideoFrameCallbackMetadata;
    video.picture?.(presentationTime, metadata);
  };
  function watched(seconds: number, pictures: boolean) {
    for (let tick = 0; tick < seconds * 20; tick += 1) {
      video.currentTime += 0.05;
      video.range = { start: 0, end: video.currentTime + 0.3 };
      vi.advanceTimersByTime(50);
      if (pictures) show(performance.now());
    }
    return player.snapshot().target;
  }
  beforeEach(() => video.dispatchEvent(new Event('playing')));

  it('shrinks, and is whole again as soon as pictures are missing', () => {
    expect(watched(20, true)).toBeCloseTo(0.3);
    expect(watched(40, true)).toBeCloseTo(0.22);
    show(performance.now() + 400);
    expect(player.snapshot().target).toBeCloseTo(0.3);
  });

  it('stays whole while nobody sees pictures', () => {
    expect(watched(60, false)).toBeCloseTo(0.3);
  });
});
