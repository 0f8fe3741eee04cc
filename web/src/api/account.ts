import type { Session } from './session.ts';

/** A log-in, on some device. */
export interface LogIn {
  id: string;
  createdAt: string;
  lastUsedAt: string;
  userAgent: string | null;
  ip: string | null;
  /** The one that asks. */
  current: boolean;
}

export const logIns = (session: Session): Promise<LogIn[]> => session.request('/api/auth/sessions');

export const endLogIn = (session: Session, id: string): Promise<void> =>
  session.request(`/api/auth/sessions/${encodeURIComponent(id)}`, { method: 'DELETE' });

/** All but the one that asks. */
export const endOtherLogIns = (session: Session): Promise<void> =>
  session.request('/api/auth/sessions', { method: 'DELETE' });

/** Ends all other log-ins. */
export const changePassword = (session: Session, password: string, newPassword: string): Promise<void> =>
  session.request('/api/auth/password', { method: 'POST', body: { password, newPassword } });

/** The same answer whether or not there is such an account. */
export const forgotPassword = (session: Session, email: string): Promise<void> =>
  session.request('/api/auth/password/forgot', { method: 'POST', body: { email } });

/** With the token of a link. Ends all log-ins. */
export const resetPassword = (session: Session, token: string, newPassword: string): Promise<void> =>
  session.request('/api/auth/password/reset', { method: 'POST', body: { token, newPassword } });

/** With the token of a link. */
export const verifyEmail = (session: Session, token: string): Promise<void> =>
  session.request('/api/auth/email/verify', { method: 'POST', body: { token } });

/** Sends the link once more. */
export const askVerification = (session: Session): Promise<void> =>
  session.request('/api/auth/email/verification', { method: 'POST' });

/** For good: nothing that a person can be known by is kept. */
export const deleteAccount = (session: Session, password: string): Promise<void> =>
  session.request('/api/users/me', { method: 'DELETE', body: { password } });
