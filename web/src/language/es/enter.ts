import type { Translation } from '../catalogue.ts';
import type { enter as english } from '../en/enter.ts';

export const enter: Translation<typeof english> = {
  'enter.welcomeBack': 'Te damos la bienvenida de nuevo',
  'enter.already': '¿Ya tienes cuenta?',
  'enter.newHere': '¿Es tu primera vez aquí?',
  'enter.username': 'Nombre de usuario',
  'enter.usernameHint': 'Es lo que ven tus espectadores.',
  'enter.email': 'Correo electrónico',
  'enter.login': 'Nombre de usuario o correo',
  'enter.password': 'Contraseña',
  'enter.passwordHint': 'Al menos 8 caracteres; una frase corta es fácil de recordar.',
  'enter.chooseName': 'Elige un nombre.',
  'enter.enterEmail': 'Escribe una dirección de correo.',
  'enter.longerPassword': 'Usa al menos 8 caracteres.',
  'enter.enterLogin': 'Escribe tu nombre o tu correo.',
  'enter.enterPassword': 'Escribe tu contraseña.',
  'enter.closed': 'Ahora mismo nadie puede crear una cuenta aquí.',
  'enter.closedWords': 'Quien ya tiene una puede entrar.',
  'enter.invitationNeeded': 'Para crear una cuenta aquí hace falta una invitación.',
  'enter.invitationWords': 'Abre el enlace que te enviaron o pide uno a quien administra este servidor.',
  'enter.invited': 'Tienes una invitación: elige un nombre y ya estás dentro.',
  'enter.oneMoment': 'Un momento…',
};
