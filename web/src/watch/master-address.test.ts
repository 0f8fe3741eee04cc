import { describe, expect, it } from 'vitest';
import { MasterAddress } from './master-address.ts';

const PLAIN = 'https://live.example/live/s/master.m3u8';
const NEW = `${PLAIN}?viewer=new`;
const TICKETED = 'https://live.example/v/abc/live/s/master.m3u8';

describe('the address of the master playlist', () => {
  it('is the plain one for good where a proxy does not forward those with tickets', () => {
    const address = new MasterAddress(new URL(PLAIN));
    expect(address.current).toBe(NEW);
    address.failed();
    expect(address.current).toBe(PLAIN);
    address.loaded(PLAIN);
    address.failed();
    expect(address.current).toBe(PLAIN);
  });

  it('keeps its ticket once it has one, whatever fails later', () => {
    const address = new MasterAddress(new URL(PLAIN));
    address.loaded(TICKETED);
    address.failed();
    expect(address.current).toBe(TICKETED);
  });

  it('asks for a ticket again when the plain one fails too', () => {
    const address = new MasterAddress(new URL(PLAIN));
    address.failed();
    address.failed();
    expect(address.current).toBe(NEW);
  });
});
