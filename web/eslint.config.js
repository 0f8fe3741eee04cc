import js from '@eslint/js';
import compat from 'eslint-plugin-compat';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default ts.config(
  { ignores: ['dist/', 'node_modules/'] },
  js.configs.recommended,
  { ignores: ['public/**'], extends: [ts.configs.strict] },
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser } },
    rules: {
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    // What the oldest promised browsers (`browserslist` in package.json) do not have. Methods of arrays and strings, which
    // it cannot tell apart, are left to the `lib` of tsconfig.json.
    ...compat.configs['flat/recommended'],
    files: ['src/**', 'public/**'],
    ignores: ['**/*.test.ts'],
    rules: {
      ...compat.configs['flat/recommended'].rules,
      // Its data knows `AbortSignal`, and not that these came later.
      'no-restricted-properties': [
        'error',
        {
          object: 'AbortSignal',
          property: 'timeout',
          message: 'Safari 16, Chrome 103: use api/deadline.ts.',
        },
        { object: 'AbortSignal', property: 'any', message: 'Safari 17.4, Chrome 116.' },
        { object: 'Promise', property: 'withResolvers', message: 'Safari 17.4, Chrome 119.' },
        { object: 'Promise', property: 'try', message: 'Safari 18.2, Chrome 128.' },
        { object: 'URL', property: 'canParse', message: 'Safari 17, Chrome 120.' },
      ],
    },
  },
  {
    // For browsers that cannot even load the build.
    files: ['public/**'],
    languageOptions: { ecmaVersion: 5, sourceType: 'script' },
    // ES5 has no `catch` without a name.
    rules: { 'no-unused-vars': ['error', { caughtErrors: 'none' }] },
  },
  {
    files: ['dev/**', '*.config.*'],
    languageOptions: { globals: { ...globals.node } },
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: {
      parserOptions: { extraFileExtensions: ['.svelte'], parser: ts.parser, svelteConfig },
    },
    rules: {
      // Our links are plain paths that the click handler in routing/ picks up; there is no SvelteKit.
      'svelte/no-navigation-without-resolve': 'off',
      // The compiler checks undefined names in TypeScript better than this rule does.
      'no-undef': 'off',
    },
  },
);
