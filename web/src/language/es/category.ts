import type { Translation } from '../catalogue.ts';
import type { category as english } from '../en/category.ts';

export const category: Translation<typeof english> = {
  'category.art': 'Arte',
  'category.cooking': 'Cocina',
  'category.education': 'Educación',
  'category.events': 'Eventos',
  'category.fitness': 'Ejercicio',
  'category.games': 'Videojuegos',
  'category.justChatting': 'Charla',
  'category.music': 'Música',
  'category.news': 'Noticias',
  'category.outdoors': 'Aire libre',
  'category.programming': 'Programación',
  'category.science': 'Ciencia',
  'category.sports': 'Deportes',
  'category.talk': 'Debate',
  'category.travel': 'Viajes',
};
