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
    var blank = app.childNodes.length === 0;
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

  function say(app, modern) {
    var main = document.createElement('main');
    main.style.cssText = 'margin: auto; padding: 2rem; text-align: center';
    main.appendChild(document.createElement('h1')).textContent = 'This page could not be loaded';
    main.appendChild(document.createElement('p')).textContent = modern
      ? 'Your connection may be away, or Caudal was just updated.'
      : 'Your browser is too old for Caudal. A current one shows it.';
    var again = document.createElement('a');
    again.href = location.href;
    again.textContent = 'Load again';
    main.appendChild(again);
    app.appendChild(main);
  }

  if (document.readyState === 'complete') check();
  else window.addEventListener('load', check);
})();
