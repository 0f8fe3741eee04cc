/**
 * Spanish that reads the same in Madrid and in Mexico City: "tú", no "vosotros", no words of one country only.
 *
 * stream, broadcast    directo              go live, to stream   transmitir
 * streamer             streamer             past broadcast       directo anterior
 * viewer               espectador           stream key           clave de transmisión
 * follow, follower     seguir, seguidor     encoder              codificador
 * moderator            moderador            ban, time out        expulsar, silenciar
 * block                bloquear             channel, chat        canal, chat
 * log in, log out      iniciar sesión, cerrar sesión
 * sign up              crear cuenta         delay                retraso
 * keyframe             fotograma clave      bitrate              tasa de bits
 *
 * OBS is quoted as its own Spanish translation calls things.
 */
import type { Catalogue } from './catalogue.ts';
import { count } from './es/count.ts';
import { home } from './es/home.ts';
import { ui } from './es/ui.ts';

export const es: Catalogue = { ...count, ...home, ...ui };
