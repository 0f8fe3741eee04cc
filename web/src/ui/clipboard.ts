/** Resolves to whether the text is in the clipboard. */
export async function copyText(text: string): Promise<boolean> {
  // Only with HTTPS, which a server at home rarely has, is there a clipboard to write to.
  const clipboard = (navigator as { clipboard?: Clipboard }).clipboard;
  try {
    await clipboard?.writeText(text);
    if (clipboard !== undefined) return true;
  } catch {
    // Not allowed: the old way may be.
  }
  return copySelection(text);
}

/** Without a clipboard, browsers copy what is selected, and only while they handle a click. */
function copySelection(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement('textarea');
  field.value = text;
  field.readOnly = true;
  field.style.position = 'fixed';
  field.style.opacity = '0';
  document.body.append(field);
  field.select();
  field.setSelectionRange(0, text.length);
  try {
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    field.remove();
    if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  }
}
