/**
 * Spanish that reads the same in Madrid and in Mexico City: "tú", no "vosotros", no words of one country only.
 *
 * stream, broadcast    directo              go live              transmitir
 * streamer             streamer             past broadcast       directo anterior
 * viewer               espectador           stream key           clave de transmisión
 * follow, follower     seguir, seguidor     encoder              codificador
 * moderator            moderador            ban, time out        expulsar, silenciar
 * admin                administrador        to ban (by an admin) suspender
 * block                bloquear             banned account       cuenta suspendida
 * channel, chat        canal, chat          to stream            transmitir
 * log in, log out      iniciar sesión, cerrar sesión; on buttons, which have less room: entrar, salir
 * sign up              crear cuenta         delay                retraso
 * subscription, tier   suscripción, nivel   withdraw             desistir
 * keyframe             fotograma clave      bitrate              tasa de bits
 *
 * OBS is quoted as its own Spanish translation calls things.
 */
import type { Catalogue } from './catalogue.ts';
import { account } from './es/account.ts';
import { admin } from './es/admin.ts';
import { advice } from './es/advice.ts';
import { billing } from './es/billing.ts';
import { browse } from './es/browse.ts';
import { category } from './es/category.ts';
import { channel } from './es/channel.ts';
import { chat } from './es/chat.ts';
import { count } from './es/count.ts';
import { enter } from './es/enter.ts';
import { home } from './es/home.ts';
import { missing } from './es/missing.ts';
import { moderation } from './es/moderation.ts';
import { notifications } from './es/notifications.ts';
import { problem } from './es/problem.ts';
import { settings } from './es/settings.ts';
import { studio } from './es/studio.ts';
import { ui } from './es/ui.ts';
import { watch } from './es/watch.ts';

export const es: Catalogue = {
  ...account,
  ...admin,
  ...advice,
  ...billing,
  ...browse,
  ...category,
  ...channel,
  ...chat,
  ...count,
  ...enter,
  ...home,
  ...missing,
  ...moderation,
  ...notifications,
  ...problem,
  ...settings,
  ...studio,
  ...ui,
  ...watch,
};
