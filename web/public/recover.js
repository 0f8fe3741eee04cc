/*
 * Looks whether the page's own script has come. It carries its hash in its name, and a page that the browser kept from
 * before an update asks for one that is gone: loading the page anew fetches the right one. This file keeps its name
 * and is kept to ES5 (by `npm run lint`), because a browser without modules must still be able to read it.
 */
(function () {
  'use strict';

  var KEY = 'caudal.recovered';

  function check() {
    var app = document.getElementById('app');
    var script = document.querySelector('script[type="module"]');
    if (app === null || script === null) return;
    // While it is busy, the script has come and waits for the texts in the visitor's language.
    var blank = app.childNodes.length === 0 && app.getAttribute('aria-busy') === null;
    if (!blank && !unstyled()) return;
    if (firstTime(script.src)) location.reload();
    else if (blank) say(app, 'noModule' in script);
  }

  function unstyled() {
    var links = document.querySelectorAll('link[rel="stylesheet"]');
    for (var index = 0; index < links.length; index += 1) {
      if (links[index].sheet === null) return true;
    }
    return false;
  }

  /* Once for each build and tab: a server whose files are incomplete must not make the page load for ever. */
  function firstTime(build) {
    try {
      if (sessionStorage.getItem(KEY) === build) return false;
      sessionStorage.setItem(KEY, build);
      return true;
    } catch (denied) {
      return false;
    }
  }

  /* As src/language/languages.ts chooses it. */
  function language() {
    var kept = null;
    try {
      kept = localStorage.getItem('caudal.language');
    } catch (denied) {
      // Then the browser's language it is.
    }
    return /^es\b/i.test(kept || navigator.language) ? 'es' : 'en';
  }

  function say(app, modern) {
    var words = WORDS[language()];
    var main = document.createElement('main');
    document.documentElement.lang = language();
    main.style.cssText = 'margin: auto; padding: 2rem; text-align: center';
    main.appendChild(document.createElement('h1')).textContent = words.title;
    main.appendChild(document.createElement('p')).textContent = modern ? words.away : words.old;
    var again = document.createElement('a');
    again.href = location.href;
    again.textContent = words.again;
    main.appendChild(again);
    app.appendChild(main);
  }

  /* The catalogues of src/language/ are modules, which may be just what this browser cannot load. */
  var WORDS = {
    en: {
      title: 'This page could not be loaded',
      away: 'Your connection may be away, or Caudal was just updated.',
      old: 'Your browser is too old for Caudal. A current one shows it.',
      again: 'Load again',
    },
    es: {
      title: 'No se ha podido cargar esta página',
      away: 'Puede que no tengas conexión o que Caudal se acabe de actualizar.',
      old: 'Tu navegador es demasiado antiguo para Caudal. Uno actual sí lo muestra.',
      again: 'Volver a cargar',
    },
  };

  if (document.readyState === 'complete') check();
  else window.addEventListener('load', check);
})();
