export const settings = {
  'settings.title': 'Settings',
  'settings.profile': 'Profile',
  'settings.blocked': 'Blocked people',
  'settings.loadingBlocked': 'Loading blocked people',
  'settings.noneBlocked': 'You have not blocked anybody.',
  'settings.displayName': 'Name to show',
  'settings.displayNameHint': 'Without one, people see {username}.',
  'settings.picture': 'Picture of you',
  'settings.bio': 'About you',
  'settings.bioHint': 'What you stream, and when',
} as const;
