import type { Translation } from '../catalogue.ts';
import type { browse as english } from '../en/browse.ts';

export const browse: Translation<typeof english> = {
  'browse.loadingCategories': 'Cargando categorías',
  'browse.noCategories': 'Todavía no hay categorías',
  'browse.noCategoriesWords': 'Quienes administran este sitio aún no han creado ninguna.',
  'browse.category': 'Categoría',
  'browse.language': 'Idioma',
  'browse.allLanguages': 'Todos los idiomas',
  'browse.sortBy': 'Ordenar por',
  'browse.mostWatched': 'Más vistos',
  'browse.justStarted': 'Recién empezados',
  'browse.emptyInLanguage': 'Ahora mismo no hay nadie en directo en {language}',
  'browse.otherLanguages': 'Puede que haya directos en otros idiomas.',
  'browse.showAllLanguages': 'Mostrar todos los idiomas',
  'browse.empty': 'Ahora mismo no hay nadie en directo aquí',
  'browse.emptyWords': 'Vuelve más tarde o rompe tú el silencio.',
  'browse.otherCategories': 'Otras categorías',
  'browse.results': 'Resultados de «{query}»',
  'browse.resultsTitle': '{query} · Buscar',
  'browse.searchWords': 'Encuentra personas, directos y categorías por su nombre.',
  'browse.tooShort': 'Escribe al menos dos letras.',
  'browse.tooLong': 'Es demasiado largo. Prueba con menos palabras.',
  'browse.nothing': 'No se ha encontrado nada para «{query}»',
  'browse.nothingWords':
    'Revisa la ortografía o prueba con el principio de un nombre. Los directos solo se encuentran mientras duran.',
  'browse.lookThrough': 'Ver las categorías',
  'browse.people': 'Personas',
  'browse.searching': 'Buscando…',
};
