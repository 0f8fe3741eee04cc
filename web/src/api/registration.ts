import type { Session } from './session.ts';

/** Who may open an account: everybody, whoever was invited, nobody. */
export type RegistrationMode = 'open' | 'invitation' | 'closed';

export async function registrationMode(session: Session): Promise<RegistrationMode> {
  const { mode } = await session.request<{ mode: RegistrationMode }>('/api/registration');
  return mode;
}
