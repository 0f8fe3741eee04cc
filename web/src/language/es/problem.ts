import type { Translation } from '../catalogue.ts';
import type { problem as english } from '../en/problem.ts';

export const problem: Translation<typeof english> = {
  'problem.unreachable':
    'No se puede contactar con el servidor. Revisa tu conexión; volver a intentarlo suele funcionar.',
  'problem.unknown': 'Algo ha salido mal. Vuelve a intentarlo.',
  'problem.invalid': 'Esto no es válido.',
  'problem.logInFirst': 'Primero tienes que iniciar sesión.',
  'problem.logInAgain': 'Vuelve a iniciar sesión.',
  'problem.forbidden': 'No tienes permiso para hacer esto.',
  'problem.notFound': 'Esto no existe, o ya no existe.',
  'problem.tooMany': 'Demasiados intentos. Espera un momento.',
  'problem.tooManyWait': {
    one: 'Demasiados intentos. Espera {count} segundo.',
    many: 'Demasiados intentos. Espera {count} de segundos.',
    other: 'Demasiados intentos. Espera {count} segundos.',
  },
  'problem.server': 'El servidor tiene un problema. Vuelve a intentarlo en un momento.',
  'problem.refused': 'El servidor no lo ha aceptado.',
  'problem.busy': 'El servidor está ocupado. Vuelve a intentarlo en un momento.',
  'problem.wrongCredentials': 'Ese nombre y esa contraseña no coinciden.',
  'problem.wrongPassword': 'Esa no es tu contraseña.',
  'problem.banned': 'Esta cuenta está suspendida. Pregunta a quien administra este servidor.',
  'problem.blocked': 'Uno de los dos ha bloqueado al otro.',
  'problem.streamOpen': 'Ya tienes un directo.',
  'problem.listFull': 'Esta lista está llena. Quita antes a alguien.',
  'problem.changedMeanwhile': 'Alguien lo ha cambiado mientras tanto. Vuelve a cargar la página.',
  'problem.oneself': 'No puedes hacer esto contigo.',
  'problem.tooLarge': 'Esto es demasiado grande.',
  'problem.nameTaken': 'Este nombre ya está en uso.',
  'problem.emailTaken': 'Ya hay una cuenta con esta dirección.',
  'problem.nameInvalid': 'De 3 a 25 letras sin tildes, números y guiones bajos.',
  'problem.emailInvalid': 'Esto no es una dirección de correo.',
  'problem.passwordShort': 'Al menos 8 caracteres.',
  'problem.tooShort': 'Es demasiado corto.',
  'problem.tooLong': 'Es demasiado largo.',
  'problem.noSuchCategory': 'Esa categoría ya no existe.',
};
