import { setFollowing, type Profile } from '../api/people.ts';
import { ApiProblem, wordsFor } from '../api/problem.ts';
import type { Session } from '../api/session.ts';
import { t } from '../language/text.ts';

/** What a profile says that a follow changes. */
export type FollowState = Pick<Profile, 'isFollowing' | 'followers'>;

/**
 * Whether the person who is logged in follows somebody. What they want shows at once; one request is on its way at a
 * time, and the last wish wins. A wish that the server refuses is taken back, with the reason.
 */
export class Follow {
  wanted = $state(false);
  problem = $state('');
  /** What the server last said. */
  #known = $state.raw<FollowState>({ isFollowing: null, followers: 0 });
  #asking = false;
  #wishes = 0;

  constructor(
    state: FollowState,
    private readonly ask: (wanted: boolean) => Promise<void>,
  ) {
    this.update(state, 0);
  }

  /** How often the person has changed their mind. */
  get wishes(): number {
    return this.#wishes;
  }

  /** With what the person wants taken into account. */
  get followers(): number {
    const { isFollowing, followers } = this.#known;
    return Math.max(0, followers + Number(this.wanted) - Number(isFollowing === true));
  }

  /**
   * What the server says now. `wishes` is how many there were when it was asked: if there have been others since, or one
   * is still on its way, the answer may be from before them.
   */
  update(state: FollowState, wishes: number): void {
    if (this.#asking || wishes !== this.#wishes) return;
    this.#known = state;
    this.wanted = state.isFollowing === true;
  }

  async toggle(): Promise<void> {
    this.wanted = !this.wanted;
    this.#wishes += 1;
    this.problem = '';
    if (this.#asking) return;
    this.#asking = true;
    await this.#settle();
    this.#asking = false;
  }

  async #settle(): Promise<void> {
    // A request without an answer may have been carried out: then the wish is sent even if it is what was known before.
    let unsure = false;
    while (unsure || this.wanted !== (this.#known.isFollowing === true)) {
      const sent = this.wanted;
      try {
        await this.ask(sent);
        this.#known = this.#after(sent);
        unsure = false;
      } catch (error) {
        if (this.wanted === sent) {
          this.wanted = this.#known.isFollowing === true;
          this.problem = wordsFor(error);
          return;
        }
        unsure = true;
      }
    }
  }

  #after(follows: boolean): FollowState {
    const { isFollowing, followers } = this.#known;
    return { isFollowing: follows, followers: followers + Number(follows) - Number(isFollowing === true) };
  }
}

/** Somebody else who logs in meanwhile must not follow by the first one's wish. */
export function followOf(session: Session, profile: Profile): Follow {
  const asker = session.account?.id;
  return new Follow(profile, async (wanted) => {
    if (session.account?.id !== asker) throw new ApiProblem(401, 'unauthorized', t('problem.logInAgain'));
    await setFollowing(session, profile.id, wanted);
  });
}
