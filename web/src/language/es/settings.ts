import type { Translation } from '../catalogue.ts';
import type { settings as english } from '../en/settings.ts';

export const settings: Translation<typeof english> = {
  'settings.title': 'Ajustes',
  'settings.profile': 'Perfil',
  'settings.blocked': 'Personas bloqueadas',
  'settings.loadingBlocked': 'Cargando personas bloqueadas',
  'settings.noneBlocked': 'No has bloqueado a nadie.',
  'settings.displayName': 'Nombre visible',
  'settings.displayNameHint': 'Si lo dejas vacío, se verá {username}.',
  'settings.picture': 'Tu foto',
  'settings.bio': 'Sobre ti',
  'settings.bioHint': 'Qué transmites y cuándo',
};
