import type { Translation } from '../catalogue.ts';
import type { channel as english } from '../en/channel.ts';

export const channel: Translation<typeof english> = {
  'channel.edit': 'Editar perfil',
  'channel.past': 'Directos anteriores',
  'channel.loadingPast': 'Cargando directos anteriores',
  'channel.noneOfYours': 'Cuando hayas transmitido, aparecerá aquí.',
  'channel.none': 'Todavía nada. Sigue este canal para saber cuándo está en directo.',
  'channel.blocked': 'Has bloqueado a {name}.',
  'channel.unblock': 'Desbloquear',
  'channel.unblockName': 'Desbloquear a {name}',
  'channel.askBlock': '¿Bloquear a {name}? Después, ninguno podrá seguir al otro.',
  'channel.blocking': 'Bloqueando…',
  'channel.yesBlock': 'Sí, bloquear',
  'channel.block': 'Bloquear',
  'channel.blockName': 'Bloquear a {name}',
};
