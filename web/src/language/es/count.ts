import type { Translation } from '../catalogue.ts';
import type { count as english } from '../en/count.ts';

export const count: Translation<typeof english> = {
  'count.viewers': {
    one: '{count} espectador',
    many: '{count} de espectadores',
    other: '{count} espectadores',
  },
  'count.followers': { one: '{count} seguidor', many: '{count} de seguidores', other: '{count} seguidores' },
  'count.streams': { one: '{count} directo', many: '{count} de directos', other: '{count} directos' },
  'count.streamsOrMore': 'Más de {count} directos',
  'count.live': '{count} en directo',
  'count.nobodyLive': 'Nadie en directo',
  'count.justNow': 'ahora mismo',
  'count.underAMinute': 'menos de un minuto',
  'count.minutes': '{minutes} min',
  'count.hours': '{hours} h {minutes} min',
  'count.days': '{days} d {hours} h',
};
