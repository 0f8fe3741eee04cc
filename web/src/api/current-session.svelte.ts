import { deadline } from './deadline.ts';
import { Session, type SessionNote, type SessionView } from './session.ts';

/** Who is logged in, as the pages see it. */
class CurrentAccount {
  #view = $state<SessionView>({ account: null, restoring: true, away: false, leaving: 'no' });

  get value() {
    return this.#view.account;
  }
  get restoring() {
    return this.#view.restoring;
  }
  get away() {
    return this.#view.away;
  }
  get leaving() {
    return this.#view.leaving;
  }
  show(view: SessionView) {
    this.#view = view;
  }
}

export const current = new CurrentAccount();

const KEY = 'caudal.signed-in';

const note: SessionNote = {
  get() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      // Without storage it costs one request to find out.
      return 'unknown';
    }
  },
  set(to) {
    try {
      if (to === null) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, to);
    } catch {
      // See `get`.
    }
  },
};

/** A network that comes back, or a person who looks at the page again, ends the wait. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener('online', done);
      document.removeEventListener('visibilitychange', shown);
      resolve();
    };
    const shown = () => {
      if (!document.hidden) done();
    };
    const timer = setTimeout(done, ms);
    window.addEventListener('online', done);
    document.addEventListener('visibilitychange', shown);
  });
}

/**
 * Where the browser has locks (not before Safari 15.4 and Firefox 96, and never without HTTPS) only one tab refreshes
 * at a time. A tab that the browser has frozen must not keep the others waiting for ever.
 */
async function alone<T>(task: () => Promise<T>): Promise<T> {
  const locks = (navigator as { locks?: LockManager }).locks;
  if (locks === undefined) return task();
  const limit = deadline(LOCK_MS);
  let started = false;
  const begin = () => {
    started = true;
    limit.met();
    return task();
  };
  try {
    return (await locks.request('caudal.refresh', { signal: limit.signal }, begin)) as T;
  } catch (error) {
    if (started) throw error;
    return task();
  } finally {
    limit.met();
  }
}

/** The one session of this tab. */
export const session = new Session({
  fetch: (...request) => fetch(...request),
  note,
  changed: (view) => current.show(view),
  pause,
  alone,
});

// Logging in or out in one tab does so in all of them.
window.addEventListener('storage', ({ key }) => {
  // A key of `null` means that everything was cleared.
  if (key === KEY || key === null) void session.sync();
});
// A page from the browser's history has missed what the other tabs did.
window.addEventListener('pageshow', ({ persisted }) => {
  if (persisted) void session.sync();
});

void session.restore();

/** Two deadlines of a request: as long as another tab may take to ask twice. */
const LOCK_MS = 35_000;
