import { afterEach, describe, expect, it, vi } from 'vitest';
import { focusSuccessor } from './successor.ts';

describe('the focus', () => {
  afterEach(() => vi.unstubAllGlobals());

  const body = { name: 'body' };
  it.each([
    ['goes to the successor when its control is gone', body, 1],
    ['goes to the successor when the browser says that nothing has it', null, 1],
    ['stays where somebody has moved it meanwhile', { name: 'a link' }, 0],
  ])('%s', async (_, activeElement, times) => {
    vi.stubGlobal('document', { activeElement, body });
    const focus = vi.fn();
    await focusSuccessor(() => ({ focus }) as unknown as HTMLElement);
    expect(focus).toHaveBeenCalledTimes(times);
  });

  it('stays away where there is no successor either', async () => {
    vi.stubGlobal('document', { activeElement: body, body });
    await expect(focusSuccessor(() => null)).resolves.toBeUndefined();
  });
});
