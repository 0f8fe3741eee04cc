import { describe, expect, it } from 'vitest';
import { MasterAddress } from './master-address.ts';

const PLAIN = 'https://live.example/live/s/master.m3u8';
const COUNTED = 'https://live.example/v/present/live/s/master.m3u8';

describe('the address of the master playlist', () => {
  it.each([
    [PLAIN, COUNTED],
    [
      'https://live.example/media/live/s/master.m3u8',
      'https://live.example/media/v/present/live/s/master.m3u8',
    ],
    ['https://cdn.example/elsewhere.m3u8?a=b', 'https://cdn.example/elsewhere.m3u8?a=b'],
  ])('says that the api counts this viewer, where the edge can read it: %s', (plain, counted) => {
    expect(new MasterAddress(new URL(plain)).current).toBe(counted);
  });

  it('is the plain one for good where a proxy does not forward the other', () => {
    const address = new MasterAddress(new URL(PLAIN));
    expect(address.current).toBe(COUNTED);
    address.failed();
    expect(address.current).toBe(PLAIN);
    address.loaded(PLAIN);
    address.failed();
    expect(address.current).toBe(PLAIN);
  });

  it('stays where a playlist came from, whatever fails later', () => {
    const address = new MasterAddress(new URL(PLAIN));
    address.loaded();
    address.failed();
    expect(address.current).toBe(COUNTED);
  });

  it('is tried again when the plain one fails too', () => {
    const address = new MasterAddress(new URL(PLAIN));
    address.failed();
    address.failed();
    expect(address.current).toBe(COUNTED);
  });
});
