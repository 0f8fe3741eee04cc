import { describe, expect, it } from 'vitest';
import { LatencyController } from './latency-controller.ts';

/** The same numbers every run: mulberry32. */
function random(seed: number) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

interface Scene {
  seconds: number;
  part?: number;
  /** Seconds behind the live edge at which the player starts. */
  joinBehind?: number;
  /** How late after its end each part is in the buffer, in seconds. */
  delay?: (mediaEnd: number) => number;
  /** Whether the browser says when pictures are shown. */
  watched?: boolean;
  /** Seconds that the decoder must have ahead: with less, pictures are missing while the sound goes on. */
  held?: number;
  events?: (now: number, controller: LatencyController) => void;
}

/**
 * A player in front of a live stream. A part that ends at media time t is in the buffer at t + delay, never before
 * the one in front of it; the picture moves at the controller's rate while something is buffered.
 */
function watch({
  seconds,
  part = 0.2,
  joinBehind = 0.6,
  delay = () => 0.05,
  watched = true,
  held = 0,
  events,
}: Scene) {
  const controller = new LatencyController(part);
  const step = 0.05;
  const start = 10;
  let position = start - joinBehind;
  let arrived = start;
  let nextArrival = arrived + part + delay(arrived + part);
  let waiting = false;
  const log = {
    stalls: [] as number[],
    seeks: [] as number[],
    rates: [] as number[],
    falters: [] as number[],
    latency: [] as number[],
    target: [] as number[],
  };
  for (let now = start; now < start + seconds; now += step) {
    while (nextArrival <= now) {
      arrived += part;
      nextArrival = Math.max(nextArrival, arrived + part + delay(arrived + part));
    }
    events?.(now - start, controller);
    const buffered = arrived - position;
    if (waiting) {
      if (buffered < part) continue;
      waiting = false;
    }
    if (buffered <= 0.02) {
      waiting = true;
      controller.stalled(now);
      log.stalls.push(now - start);
      continue;
    }
    if (buffered < held && now - (log.falters.at(-1) ?? 0) > 0.15) {
      controller.faltered(0.15);
      log.falters.push(now);
    }
    const { rate, seekBy } = controller.playing(now, buffered, watched);
    // One `expect` for each tick would take most of the time.
    if (rate < 0.92 || rate > 1.15 || seekBy >= buffered)
      throw new Error(`at ${now}: rate ${rate}, a seek of ${seekBy} in ${buffered}`);
    if (seekBy > 0) log.seeks.push(seekBy);
    position = Math.min(arrived, position + seekBy + rate * step);
    log.rates.push(rate);
    log.latency.push(now - position);
    log.target.push(controller.target);
  }
  return log;
}

const tail = (values: number[], share: number) => values.slice(Math.floor(values.length * (1 - share)));
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const shareOutside = (rates: number[], least: number, most: number) =>
  rates.filter((rate) => rate < least - 1e-9 || rate > most + 1e-9).length / rates.length;

describe('on a quiet network', () => {
  it('plays 0.2 s parts about half a second behind the live edge, without a stall', () => {
    const log = watch({ seconds: 120 });
    expect(log.stalls).toEqual([]);
    expect(mean(tail(log.latency, 0.5))).toBeLessThan(0.6);
    expect(mean(tail(log.latency, 0.5))).toBeGreaterThan(0.25);
  });

  it('rests at rate 1 nearly always and never leaves what nobody notices', () => {
    const log = watch({ seconds: 120 });
    expect(shareOutside(log.rates, 1, 1)).toBeLessThan(0.05);
    expect(shareOutside(log.rates, 0.97, 1.03)).toBe(0);
  });

  it.each([
    [0.4, 0],
    [0.6, 1],
    [1.2, 1],
    [2.5, 1],
    [5, 1],
  ])('joining %d s behind, it is on target within seconds by %d seek', (joinBehind, seeks) => {
    const log = watch({ seconds: 30, joinBehind });
    expect(log.seeks).toHaveLength(seeks);
    expect(log.stalls).toEqual([]);
    expect(mean(tail(log.latency, 0.5))).toBeLessThan(0.6);
  });

  it('waits with its seek until the buffer has stopped growing', () => {
    const controller = new LatencyController(0.2);
    // Three seconds of media arrive at twice real time: at none of these moments is the edge known.
    for (let now = 0; now < 3; now += 0.05) expect(controller.playing(now, 0.2 + now).seekBy).toBe(0);
    let seeks = 0;
    let buffered = 3.2;
    for (let now = 3; now < 6; now += 0.05) {
      const { seekBy } = controller.playing(now, buffered);
      buffered -= seekBy;
      seeks += seekBy > 0 ? 1 : 0;
    }
    expect(seeks).toBe(1);
  });

  it.each([
    [0.1, 0.5],
    [0.134, 0.5],
    [0.334, 0.9],
    [0.5, 1.3],
    [1, 2.5],
  ])('with parts of %d s stays below %d s', (part, limit) => {
    const log = watch({ seconds: 90, part, joinBehind: part * 3 });
    expect(log.stalls).toEqual([]);
    expect(mean(tail(log.latency, 0.5))).toBeLessThan(limit);
  });

  it('follows a publisher whose clock runs one part in a thousand slow', () => {
    const log = watch({ seconds: 300, delay: (end) => 0.05 + (end - 10) * 0.001 });
    expect(log.stalls).toEqual([]);
    expect(shareOutside(log.rates, 0.97, 1.03)).toBe(0);
  });
});

describe('after a while in which nothing faltered', () => {
  it.each([
    ['plays a little faster to be nearer to the live edge', true, 0.22, 1.01],
    ['stays where it is if nobody would notice missing pictures', false, 0.3, 1],
  ])('%s', (_, watched, target, fastest) => {
    const controller = new LatencyController(0.2);
    let rate = 1;
    for (let now = 0; now < 60; now += 0.05)
      rate = Math.max(rate, controller.playing(now, 0.3, watched).rate);
    expect(controller.target).toBeCloseTo(target);
    expect(rate).toBeGreaterThanOrEqual(fastest);
    expect(rate).toBeLessThan(1.03);
    if (!watched) expect(rate).toBe(1);
  });

  it('keeps away from where a decoder has pictures missing, after one try', () => {
    const log = watch({ seconds: 1700, held: 0.12 });
    const later = log.falters.filter((at) => at > 30);
    expect(later.length).toBeGreaterThan(0);
    // Until the buffer is full again.
    expect(Math.max(...later) - Math.min(...later)).toBeLessThan(5);
  });

  it.each([1, 2, 3, 4, 5])('does not stall on a phone whose Wi-Fi scans now and then (seed %d)', (seed) => {
    const next = random(seed);
    // Every half minute 150 ms late, in between up to 40 ms.
    const delay = (end: number) => (end % 30 < 0.2 ? 0.2 : 0.03 + next() * 0.04);
    expect(watch({ seconds: 900, delay }).stalls).toEqual([]);
  });

  it.each([1, 2, 3, 4, 5])(
    'does not stall with parts up to 120 ms late for ten minutes (seed %d)',
    (seed) => {
      const next = random(seed);
      expect(watch({ seconds: 600, delay: () => 0.03 + next() * 0.12 }).stalls).toEqual([]);
    },
  );

  it.each([1, 2, 3, 4])(
    'stalls at most once by a rare spike that the whole reserve survives (seed %d)',
    (seed) => {
      const delay = () => {
        const next = random(seed);
        return () => (next() < 0.001 ? 0.23 : 0.03 + next() * 0.03);
      };
      expect(watch({ seconds: 900, delay: delay(), watched: false }).stalls).toEqual([]);
      expect(watch({ seconds: 900, delay: delay() }).stalls.length).toBeLessThanOrEqual(1);
    },
  );

  it('takes it back at once when it stalls', () => {
    const controller = new LatencyController(0.2);
    for (let now = 0; now < 60; now += 0.05) controller.playing(now, 0.3, true);
    expect(controller.target).toBeCloseTo(0.22);
    controller.stalled(60);
    controller.playing(60.3, 0.2, true);
    expect(controller.target).toBeGreaterThan(0.34);
  });

  it('takes it back in a hidden tab when parts come unevenly', () => {
    const controller = new LatencyController(0.2);
    for (let now = 0; now < 60; now += 0.05) controller.playing(now, 0.3, true);
    expect(controller.target).toBeCloseTo(0.22);
    controller.playing(60, 0.09, false);
    // The dip of 0.2 s and what is to be left in the buffer at first.
    expect(controller.target).toBeGreaterThan(0.36);
  });
});

describe('a buffer that rests while it fills', () => {
  it('is left by a second seek, but never by a fourth', () => {
    const controller = new LatencyController(0.2);
    const seeks: number[] = [];
    for (let now = 0; now < 30; now += 0.05) {
      const { seekBy } = controller.playing(now, 3);
      if (seekBy > 0) seeks.push(now);
    }
    expect(seeks).toHaveLength(3);
    expect(seeks.at(-1)).toBeLessThan(6);
  });
});

describe('on a jittery network', () => {
  const jitter = (most: number, seed: number) => {
    const next = random(seed);
    return () => 0.03 + next() * most;
  };

  it.each([1, 2, 3, 4, 5])('up to 100 ms late it does not stall (seed %d)', (seed) => {
    const log = watch({ seconds: 120, delay: jitter(0.1, seed) });
    expect(log.stalls).toEqual([]);
    expect(shareOutside(log.rates, 0.97, 1.03)).toBeLessThan(0.02);
  });

  it.each([1, 2, 3, 4, 5])('up to 600 ms late it grows its target and stops stalling (seed %d)', (seed) => {
    const log = watch({ seconds: 180, delay: jitter(0.6, seed) });
    expect(log.stalls.filter((at) => at > 60)).toEqual([]);
    expect(log.stalls.length).toBeLessThanOrEqual(6);
    expect(log.target.at(-1)).toBeGreaterThan(0.45);
    expect(shareOutside(log.rates, 0.97, 1.03)).toBeLessThan(0.1);
  });

  it('comes back down when the network has become quiet again', () => {
    const noisy = jitter(0.6, 9);
    const log = watch({ seconds: 600, delay: (end) => (end < 70 ? noisy() : 0.05) });
    expect(Math.max(...log.target)).toBeGreaterThan(0.45);
    expect(log.target.at(-1)).toBeLessThan(0.4);
    expect(log.stalls.filter((at) => at > 70)).toEqual([]);
  });
});

describe('a stall', () => {
  it('raises the target, and a relapse raises it more', () => {
    const controller = new LatencyController(0.2);
    const before = controller.target;
    controller.stalled(100);
    controller.playing(100.2, 0.2);
    const once = controller.target;
    controller.stalled(105);
    controller.playing(105.2, 0.2);
    const twice = controller.target;
    expect(once - before).toBeCloseTo(0.05);
    expect(twice - once).toBeGreaterThan(0.09);
  });

  it('raises it by twice what was missing at most, however many there have been', () => {
    const controller = new LatencyController(0.2);
    for (let now = 0; now < 60; now += 10) {
      controller.stalled(now);
      controller.playing(now + 0.9, 0.2);
    }
    const before = controller.target;
    controller.stalled(65);
    controller.playing(65.1, 0.2);
    expect(controller.target - before).toBeLessThan(0.21);
  });

  it('that a seek ends raises nothing: no buffer covers a hole in the stream', () => {
    const controller = new LatencyController(0.2);
    const before = controller.target;
    for (let now = 0; now < 60; now += 10) {
      controller.stalled(now);
      controller.rejoin();
      controller.playing(now + 2.5, 0.2);
    }
    expect(controller.target).toBe(before);
  });

  it('never raises it without end', () => {
    const controller = new LatencyController(0.2);
    for (let now = 0; now < 100; now += 1) {
      controller.stalled(now);
      controller.playing(now + 0.5, 0.3);
    }
    expect(controller.target).toBeLessThanOrEqual(6);
  });

  it('is given up slowly', () => {
    const controller = new LatencyController(0.2);
    controller.stalled(0);
    controller.playing(0.2, 0.2);
    const raised = controller.target;
    for (let now = 1; now < 4; now += 0.05) controller.playing(now, raised);
    expect(raised - controller.target).toBeLessThan(0.02);
    for (let now = 4; now < 120; now += 0.05) controller.playing(now, raised);
    expect(controller.target).toBeCloseTo(0.3);
  });
});

describe('an interruption', () => {
  it('of five seconds costs one stall and no target; a seek, not minutes of fast playing, leads back', () => {
    const log = watch({ seconds: 60, delay: (end) => (end > 20 && end < 25 ? 25.3 - end : 0.05) });
    expect(log.stalls).toHaveLength(1);
    expect(log.target.at(-1)).toBeLessThan(0.301);
    expect(mean(tail(log.latency, 0.3))).toBeLessThan(0.6);
    expect(shareOutside(log.rates, 0.97, 1.03)).toBeLessThan(0.02);
  });

  it('of the measuring itself (a hidden tab) does not leave an old average behind', () => {
    const controller = new LatencyController(0.2);
    for (let now = 0; now < 10; now += 0.05) controller.playing(now, 0.35);
    controller.playing(60, 3);
    expect(controller.average).toBe(3);
  });
});

describe('far off target', () => {
  it.each([
    [3, 1.15],
    [0.85, 1.03],
    [0.3, 1],
  ])('%d s ahead plays at no more than %d', (buffered, most) => {
    const controller = new LatencyController(0.2);
    for (let now = 0; now < 3; now += 0.05) controller.playing(now, 0.3);
    let rate = 1;
    for (let now = 3; now < 13; now += 0.05) rate = controller.playing(now, buffered).rate;
    expect(rate).toBeLessThanOrEqual(most + 1e-9);
    expect(rate).toBeGreaterThan(most - 0.03);
  });
});
