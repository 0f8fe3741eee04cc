import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { findLanguage } from './language/language.svelte.ts';

const target = document.getElementById('app');
if (target !== null) void start(target);

/** Nothing is shown in a language that it would not stay in. */
async function start(app: HTMLElement): Promise<void> {
  // public/recover.js takes an empty page for one whose script has not come.
  app.setAttribute('aria-busy', 'true');
  await findLanguage();
  app.removeAttribute('aria-busy');
  mount(App, { target: app });
}
