export const home = {
  'home.title': 'Live now',
  'home.empty': 'Nobody is live right now',
  'home.emptyWords': 'As soon as somebody starts, their stream shows up here.',
  'home.beFirst': 'Be the first to go live',
} as const;
