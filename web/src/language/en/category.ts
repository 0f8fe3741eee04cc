/** The categories that every installation begins with. */
export const category = {
  'category.art': 'Art',
  'category.cooking': 'Cooking',
  'category.education': 'Education',
  'category.events': 'Events',
  'category.fitness': 'Fitness',
  'category.games': 'Games',
  'category.justChatting': 'Just Chatting',
  'category.music': 'Music',
  'category.news': 'News',
  'category.outdoors': 'Outdoors',
  'category.programming': 'Programming',
  'category.science': 'Science',
  'category.sports': 'Sports',
  'category.talk': 'Talk',
  'category.travel': 'Travel',
} as const;
