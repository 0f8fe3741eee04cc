import type { Translation } from '../catalogue.ts';
import type { advice as english } from '../en/advice.ts';

export const advice: Translation<typeof english> = {
  'advice.right': 'Tus ajustes son correctos',
  'advice.rightWords': 'Nada de lo que envía tu codificador añade un retraso que se pueda evitar.',
  'advice.keyframesSeldom': 'Solo un fotograma clave cada {seconds} s',
  'advice.keyframesSeldomWords':
    'Los espectadores solo pueden entrar o cambiar de calidad en un fotograma clave, y los reproductores sin baja latencia van tres intervalos por detrás. Pon el intervalo de fotogramas clave en 2 s (OBS: Salida → Avanzado → Intervalo de fotogramas clave; 0 es «automático» y es demasiado largo).',
  'advice.keyframes': 'Un fotograma clave cada {seconds} s',
  'advice.keyframesLongWords':
    'Con un intervalo de fotogramas clave de 2 s se entra más rápido y se cambia antes de calidad.',
  'advice.keyframesShortWords':
    'Los fotogramas clave ocupan mucho. Con la misma tasa de bits, un intervalo de 1 a 2 s se ve mejor y no añade retraso.',
  'advice.bFrames': 'Los fotogramas B retienen cada imagen',
  'advice.bFramesX264Words':
    'Un codificador con fotogramas B tiene que ver antes las imágenes siguientes, y x264 además suele mirar hacia delante: en total, unos {time}. Elige «zerolatency» en Ajuste (Tune, x264), que desactiva ambas cosas.',
  'advice.bFramesWords':
    'Un codificador con fotogramas B tiene que ver antes las imágenes siguientes: unos {time}. Pon los fotogramas B en 0, desactiva Look-ahead y elige el ajuste «latencia ultrabaja» si lo hay.',
  'advice.frameRate': '{fps} imágenes por segundo',
  'advice.frameRateWords':
    'Cada imagen espera a la siguiente. 30 o 60 por segundo se ven más fluidas y ahorran unos {time}.',
  'advice.bitrateHigh': '{rate} Mb/s es mucho',
  'advice.bitrateHighWords':
    'Quien ve la calidad original necesita esa velocidad y algo más sin interrupciones, o su reproductor se para y se retrasa. Para 1080p, 6 Mb/s es más que suficiente.',
  'advice.bitrateLow': '{rate} Mb/s es poco para {size}',
  'advice.bitrateLowWords':
    'Las escenas rápidas se verán pixeladas. Sube la tasa de bits o baja la resolución: 720p a 2,5 Mb/s se ve mejor que 1080p a 2 Mb/s.',
  'advice.lost': 'Se ha perdido el {share} % de las imágenes',
  'advice.lostWords':
    'Tu conexión de subida no aguanta siempre la tasa de bits. Bájala una cuarta parte o usa un cable en lugar de wifi.',
  'advice.hevc': 'No todos los navegadores reproducen HEVC',
  'advice.hevcWords': 'Elige H.264 si quieres que todo el mundo vea la calidad original.',
  'advice.silent': 'No hay sonido',
  'advice.silentWords':
    'Los espectadores no oyen nada. En OBS, comprueba que alguna fuente del mezclador de audio no esté silenciada.',
  'advice.seconds': '{seconds} s',
  'advice.milliseconds': '{ms} ms',
};
