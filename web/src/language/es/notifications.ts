import type { Translation } from '../catalogue.ts';
import type { notifications as english } from '../en/notifications.ts';

export const notifications: Translation<typeof english> = {
  'notifications.choose': 'Elegir de qué te avisamos',
  'notifications.close': 'Cerrar',
  'notifications.follows': '{name} te sigue',
  'notifications.live': '{name} está en directo',
  'notifications.liveWith': '{name} está en directo: {title}',
  'notifications.loading': 'Cargando los avisos',
  'notifications.new': 'Nuevo:',
  'notifications.none': 'Nada por ahora',
  'notifications.noneYet':
    'Cuando alguien a quien sigues empiece un directo, o alguien te siga, lo verás aquí.',
  'notifications.other': 'Novedades de {name}',
  'notifications.subscribes': '{name} se ha suscrito a tu canal',
  'notifications.title': 'Avisos',
  'notifications.unread': {
    one: '{count} aviso nuevo',
    many: '{count} de avisos nuevos',
    other: '{count} avisos nuevos',
  },
  'notifications.whenFollowed': 'Cuando alguien me siga',
  'notifications.whenLive': 'Cuando alguien a quien sigo empiece un directo',
};
