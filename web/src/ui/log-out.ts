interface Session {
  /** Resolves, perhaps much later, to whether the session is over. */
  logout(): Promise<boolean>;
}

interface Navigation {
  readonly visit: number;
}

/**
 * Logs out, and shows the home page afterwards. The server may take its time to answer, and the person may have gone
 * elsewhere by then: they are not fetched back from there.
 */
export async function logOut(
  session: Session,
  navigation: Navigation,
  goTo: (path: string) => Promise<void>,
): Promise<void> {
  const { visit } = navigation;
  if ((await session.logout()) && navigation.visit === visit) await goTo('/');
}
