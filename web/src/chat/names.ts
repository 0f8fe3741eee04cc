import type { Line } from './frames.ts';

/** What the author of a message is called. */
export const calledIn = ({ user }: Line): string => user.displayName ?? user.username;
