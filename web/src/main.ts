import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { findLanguage } from './language/language.svelte.ts';

const target = document.getElementById('app');
// Nothing is shown in a language that it would not stay in.
if (target !== null) void findLanguage().then(() => mount(App, { target }));
