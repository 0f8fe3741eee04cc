import { describe, expect, it } from 'vitest';
import { Recovery } from './recovery.ts';

describe('recovery', () => {
  it('waits longer each time the network fails, up to eight seconds, and never gives up', () => {
    const recovery = new Recovery(() => 1);
    const remedies = Array.from({ length: 50 }, () => recovery.networkError());
    expect(remedies.slice(0, 6).map((remedy) => 'delay' in remedy && remedy.delay)).toEqual([
      0.5, 1, 2, 4, 8, 8,
    ]);
    expect(remedies.slice(0, 4).map((remedy) => remedy.do)).toEqual([
      'resume',
      'resume',
      'resume',
      'restart',
    ]);
    expect(remedies.at(-1)).toEqual({ do: 'restart', delay: 8 });
  });

  it('spreads viewers out over half of the delay', () => {
    expect(new Recovery(() => 0).networkError()).toEqual({ do: 'resume', delay: 0.25 });
  });

  it('starts over once the picture moves', () => {
    const recovery = new Recovery(() => 1);
    for (let n = 0; n < 9; n += 1) recovery.networkError();
    recovery.playing();
    expect(recovery.networkError()).toEqual({ do: 'resume', delay: 0.5 });
  });

  it('resets the decoder twice before it starts the player anew', () => {
    const recovery = new Recovery(() => 1);
    expect([0, 1, 2, 3].map((now) => recovery.mediaError(now).do)).toEqual([
      'recover-media',
      'recover-media',
      'restart',
      'restart',
    ]);
  });

  it('takes a media error after a quiet half minute for a new one', () => {
    const recovery = new Recovery();
    for (let now = 0; now < 5; now += 1) recovery.mediaError(now);
    expect(recovery.mediaError(40)).toEqual({ do: 'recover-media' });
  });
});
