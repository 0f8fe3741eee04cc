import type { Translation } from '../catalogue.ts';
import type { ui as english } from '../en/ui.ts';

export const ui: Translation<typeof english> = {
  'ui.language': 'Idioma',
  'ui.languageProblem': 'No se ha podido cargar este idioma. Revisa tu conexión y vuelve a elegirlo.',
  'ui.skip': 'Ir al contenido',
  'ui.live': 'En directo',
  'ui.justStarted': 'acaba de empezar',
  'ui.liveFor': 'en directo desde hace {time}',
};
