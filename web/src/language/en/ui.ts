export const ui = {
  'ui.language': 'Language',
  'ui.languageProblem': 'This language could not be loaded. Check your connection and choose it again.',
  'ui.skip': 'Skip to content',
  'ui.live': 'Live',
  'ui.justStarted': 'just started',
  'ui.liveFor': 'live for {time}',
} as const;
