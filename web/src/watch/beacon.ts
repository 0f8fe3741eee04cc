/**
 * Says again and again that somebody watches, whenever it is `needed`: while no socket in the room says so by being open.
 * It goes on while the page is hidden, where the sound may still be heard. Returns the function that ends it.
 */
export function beacon(say: () => Promise<unknown>, needed: () => boolean): () => void {
  const tell = () => {
    // The next one comes anyway.
    if (needed()) say().catch(() => undefined);
  };
  const first = setTimeout(tell, FIRST_MS);
  const others = setInterval(tell, EVERY_MS);
  return () => {
    clearTimeout(first);
    clearInterval(others);
  };
}

/** The room has usually been entered by then. */
const FIRST_MS = 5_000;
/** The api counts each for 45 s. */
const EVERY_MS = 30_000;
