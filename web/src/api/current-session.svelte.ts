import { Session, type Account, type SignedInMark } from './session.ts';

/** `restoring` until it is known whether an earlier visit's session still holds. */
class CurrentAccount {
  value = $state<Account | null>(null);
  restoring = $state(true);
}

export const current = new CurrentAccount();

const KEY = 'caudal.signed-in';

const mark: SignedInMark = {
  get() {
    try {
      return localStorage.getItem(KEY) !== null;
    } catch {
      // Without storage it costs one request to find out.
      return true;
    }
  },
  set(signedIn) {
    try {
      if (signedIn) localStorage.setItem(KEY, '1');
      else localStorage.removeItem(KEY);
    } catch {
      // See `get`.
    }
  },
};

/** The one session of this tab. */
export const session = new Session(
  (...request) => fetch(...request),
  mark,
  (account) => (current.value = account),
);

// Logging out in one tab logs out in all of them.
window.addEventListener('storage', ({ key, newValue }) => {
  if (key === KEY && newValue === null && current.value !== null) session.forget();
});

void session.restore().finally(() => (current.restoring = false));
