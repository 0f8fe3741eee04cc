/** A name for a message of mine that no other has, so that a second try is the same message. */
export function newMessageId(): string {
  // `crypto.randomUUID` is not there before Safari 15.4, nor without HTTPS.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
