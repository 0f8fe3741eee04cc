import { current, session } from '../api/current-session.svelte.ts';
import { unreadNotifications, type Notification } from '../api/notifications.ts';
import { socketAddress } from '../api/socket-address.ts';
import { NewsSocket } from './news-socket.ts';

/** What whoever is logged in is told, as all pages see it. */
class News {
  unread = $state(0);
  /** What was told last, until it is put away. */
  latest = $state.raw<Notification | null>(null);
  /** Goes up when there is something new to list. */
  turn = $state(0);

  told(notification: Notification): void {
    this.latest = notification;
    this.turn += 1;
    this.unread += 1;
  }

  async count(): Promise<void> {
    const asker = session.account?.id;
    try {
      const { count } = await unreadNotifications(session);
      if (session.account?.id === asker) this.unread = count;
    } catch {
      // A number that is a little old is better than none.
    }
  }

  forget(): void {
    this.unread = 0;
    this.latest = null;
  }
}

export const news = new News();

/** Listens for as long as somebody is logged in and looks. Call it once, where effects are allowed. */
export function listenForNews(): void {
  const socket = new NewsSocket({
    open: () => new WebSocket(socketAddress('/ws/notifications')),
    token: (rejected) => session.token(rejected),
    // Whatever was told while nobody listened.
    listening: () => void news.count(),
    told: (notification) => news.told(notification),
  });
  let hidden = $state(document.hidden);
  const listener = $derived(current.value?.id ?? null);
  $effect(() => {
    const look = () => (hidden = document.hidden);
    document.addEventListener('visibilitychange', look);
    // A browser keeps no page in its history that has a socket.
    const left = () => socket.stop();
    window.addEventListener('pagehide', left);
    return () => {
      document.removeEventListener('visibilitychange', look);
      window.removeEventListener('pagehide', left);
    };
  });
  $effect(() => {
    if (listener === null) news.forget();
    // Nobody needs to be told on a page that nobody sees: it counts when it is shown again.
    if (listener === null || hidden) return;
    socket.start();
    return () => socket.stop();
  });
}
