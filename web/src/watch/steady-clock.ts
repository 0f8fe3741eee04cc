/** Seconds of a clock that never jumps. */
export const seconds = () => performance.now() / 1000;
