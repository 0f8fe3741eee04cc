export const missing = {
  'missing.brokenTitle': 'Something is missing',
  'missing.title': 'Not found',
  'missing.broken': 'This page could not be loaded',
  'missing.nothing': 'There is nothing here',
  'missing.brokenWords': 'Your connection may be away, or Caudal was just updated.',
  'missing.nothingWords': 'The address may be mistyped, or the page is gone.',
} as const;
