import type { Translation } from '../catalogue.ts';
import type { missing as english } from '../en/missing.ts';

export const missing: Translation<typeof english> = {
  'missing.brokenTitle': 'Falta algo',
  'missing.title': 'No encontrado',
  'missing.broken': 'No se ha podido cargar esta página',
  'missing.nothing': 'Aquí no hay nada',
  'missing.brokenWords': 'Puede que no tengas conexión o que Caudal se acabe de actualizar.',
  'missing.nothingWords': 'Puede que la dirección esté mal escrita o que la página ya no exista.',
};
