import { tick } from 'svelte';

/**
 * Gives the focus to what took the place of the control that had it. Otherwise it falls to the top of the page, where
 * neither the Tab key nor a screen reader's user expects to go on. Whoever has moved it meanwhile keeps it.
 */
export async function focusSuccessor(find: () => HTMLElement | null | undefined): Promise<void> {
  await tick();
  const { activeElement, body } = document;
  if (activeElement === null || activeElement === body) find()?.focus({ preventScroll: true });
}
