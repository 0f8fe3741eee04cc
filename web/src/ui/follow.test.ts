import { describe, expect, it } from 'vitest';
import type { Profile } from '../api/people.ts';
import { ApiProblem, Unreachable } from '../api/problem.ts';
import type { Session } from '../api/session.ts';
import { Follow, followOf } from './follow.svelte.ts';

/** A server that answers each request when it is told to. */
function following(isFollowing: boolean, followers = 10) {
  const asked: { wanted: boolean; accept: () => void; refuse: (error: Error) => void }[] = [];
  const follow = new Follow(
    { isFollowing, followers },
    (wanted) =>
      new Promise<void>((accept, refuse) => {
        asked.push({ wanted, accept, refuse });
      }),
  );
  return { follow, asked, sent: () => asked.map(({ wanted }) => wanted) };
}

const passed = () => new Promise((resolve) => setTimeout(resolve));
const BLOCKED = new ApiProblem(403, 'blocked', 'This person does not want that.');

describe('a follow', () => {
  it('shows at once, and counts', async () => {
    const { follow, asked } = following(false);
    const done = follow.toggle();
    expect(follow.wanted).toBe(true);
    expect(follow.followers).toBe(11);
    asked[0]?.accept();
    await done;
    expect(follow.wanted).toBe(true);
    expect(follow.followers).toBe(11);
    void follow.toggle();
    expect(follow.followers).toBe(10);
  });

  it('is taken back when the server refuses it, with the reason', async () => {
    const { follow, asked } = following(false);
    const done = follow.toggle();
    asked[0]?.refuse(BLOCKED);
    await done;
    expect(follow.wanted).toBe(false);
    expect(follow.followers).toBe(10);
    expect(follow.problem).toBe('One of you has blocked the other.');
  });

  it('forgets the reason with the next try', async () => {
    const { follow, asked } = following(true);
    const done = follow.toggle();
    asked[0]?.refuse(new Unreachable());
    await done;
    expect(follow.problem).not.toBe('');
    void follow.toggle();
    expect(follow.problem).toBe('');
  });

  it('has one request on its way, and the last wish wins', async () => {
    const { follow, asked, sent } = following(false);
    const done = follow.toggle();
    void follow.toggle();
    void follow.toggle();
    void follow.toggle();
    expect(sent()).toEqual([true]);
    asked[0]?.accept();
    await passed();
    expect(sent()).toEqual([true, false]);
    asked[1]?.accept();
    await done;
    expect(follow.wanted).toBe(false);
    expect(follow.followers).toBe(10);
  });

  it('sends nothing more when the last wish is the one that was sent', async () => {
    const { follow, asked, sent } = following(false);
    const done = follow.toggle();
    void follow.toggle();
    void follow.toggle();
    asked[0]?.accept();
    await done;
    expect(sent()).toEqual([true]);
    expect(follow.wanted).toBe(true);
  });

  it('sends a wish that was changed after a request whose answer is lost: it may have been carried out', async () => {
    const { follow, asked, sent } = following(false);
    const done = follow.toggle();
    void follow.toggle();
    asked[0]?.refuse(new Unreachable());
    await passed();
    expect(sent()).toEqual([true, false]);
    asked[1]?.accept();
    await done;
    expect(follow.wanted).toBe(false);
    expect(follow.problem).toBe('');
  });

  it('goes by what the server says, unless it was asked before the last wish', async () => {
    const { follow, asked } = following(false);
    follow.update({ isFollowing: true, followers: 12 }, follow.wishes);
    expect([follow.wanted, follow.followers]).toEqual([true, 12]);
    const before = follow.wishes;
    const done = follow.toggle();
    const during = follow.wishes;
    follow.update({ isFollowing: true, followers: 13 }, during);
    expect([follow.wanted, follow.followers]).toEqual([false, 11]);
    asked[0]?.accept();
    await done;
    follow.update({ isFollowing: true, followers: 13 }, before);
    expect([follow.wanted, follow.followers]).toEqual([false, 11]);
    follow.update({ isFollowing: false, followers: 12 }, during);
    expect([follow.wanted, follow.followers]).toEqual([false, 12]);
  });

  it('is not sent in the name of somebody else who has logged in since', async () => {
    const asked: string[] = [];
    const session = { account: { id: 'u1' }, request: async (path: string) => void asked.push(path) };
    const follow = followOf(session as unknown as Session, { id: 'u9', isFollowing: false } as Profile);
    session.account = { id: 'u2' };
    await follow.toggle();
    expect(asked).toEqual([]);
    expect(follow.wanted).toBe(false);
  });
});
