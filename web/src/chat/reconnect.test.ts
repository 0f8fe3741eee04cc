import { describe, expect, it } from 'vitest';
import { afterEnd } from './reconnect.ts';

const after = (code: number, { attempt = 0, random = 1, error = null as string | null } = {}) =>
  afterEnd({ code, error }, attempt, random);

describe('a connection that ended', () => {
  it.each([
    ['by itself', 1006, { kind: 'after', ms: 800, spoilt: 'nothing' }],
    ['because the server stops', 1001, { kind: 'after', ms: 1_500, spoilt: 'nothing' }],
    ['over a frame that was not understood', 4400, { kind: 'after', ms: 5_000, spoilt: 'frame' }],
    ['with a ban', 4403, { kind: 'after', ms: 0, spoilt: 'token' }],
    ['with the access token', 4401, { kind: 'after', ms: 0, spoilt: 'token' }],
    ['because it was too slow', 4408, { kind: 'after', ms: 800, spoilt: 'nothing' }],
    ['after too many frames', 4429, { kind: 'after', ms: 30_000, spoilt: 'nothing' }],
  ])('%s is opened again', (_, code, next) => {
    expect(after(code)).toEqual(next);
  });

  it('at a room that does not exist is not opened again', () => {
    expect(after(4404, { error: 'not_found' })).toEqual({ kind: 'never' });
  });

  it.each(['unavailable', 'overloaded', null])(
    'at a room that cannot be entered (%s) is opened later',
    (error) => {
      expect(after(4404, { error })).toEqual({ kind: 'after', ms: 6_000, spoilt: 'nothing' });
    },
  );

  it('is opened ever later, up to half a minute, also with an access token that ends at once', () => {
    const waits = [1, 2, 3, 4, 5, 6, 20].map((attempt) => after(1006, { attempt }));
    expect(waits.map((next) => next.kind === 'after' && next.ms)).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000,
    ]);
    expect(after(4401, { attempt: 3 })).toMatchObject({ ms: 4_000 });
  });

  it('is not opened by everybody at once', () => {
    for (const code of [1001, 1006, 4408]) {
      for (const attempt of [0, 5]) {
        expect(after(code, { attempt, random: 0 })).not.toEqual(after(code, { attempt, random: 1 }));
      }
    }
  });
});
