/**
 * Full screen as browsers have it: Safari before 16.4 knows it by a name of its own only, and iPhones can only show the
 * video itself in full.
 */
interface PrefixedDocument extends Document {
  webkitFullscreenElement?: Element | null;
  webkitExitFullscreen?: () => void;
}
interface PrefixedElement extends HTMLElement {
  webkitRequestFullscreen?: () => void;
}
interface PhoneVideo extends HTMLVideoElement {
  webkitEnterFullscreen?: () => void;
}

export const FULL_SCREEN_CHANGES = ['fullscreenchange', 'webkitfullscreenchange'] as const;

export function fullScreenElement(): Element | null {
  // eslint-disable-next-line compat/compat
  return document.fullscreenElement ?? (document as PrefixedDocument).webkitFullscreenElement ?? null;
}

export function enterFullScreen(frame: HTMLElement, video: HTMLVideoElement): void {
  const prefixed: PrefixedElement = frame;
  const phone: PhoneVideo = video;
  if (typeof frame.requestFullscreen === 'function') void frame.requestFullscreen().catch(() => undefined);
  else if (prefixed.webkitRequestFullscreen) prefixed.webkitRequestFullscreen();
  else phone.webkitEnterFullscreen?.();
}

export function leaveFullScreen(): void {
  const prefixed = document as PrefixedDocument;
  if (typeof document.exitFullscreen === 'function') void document.exitFullscreen().catch(() => undefined);
  else prefixed.webkitExitFullscreen?.();
}
