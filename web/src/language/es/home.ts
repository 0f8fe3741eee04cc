import type { Translation } from '../catalogue.ts';
import type { home as english } from '../en/home.ts';

export const home: Translation<typeof english> = {
  'home.title': 'En directo ahora',
  'home.empty': 'Ahora mismo no hay nadie en directo',
  'home.emptyWords': 'En cuanto alguien empiece, su directo aparecerá aquí.',
  'home.beFirst': 'Transmite antes que nadie',
};
