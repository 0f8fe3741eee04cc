/** Only what the oldest promised browsers (`browserslist` in package.json) make of the styles; prettier does the rest. */
export default {
  plugins: ['stylelint-no-unsupported-browser-features'],
  rules: {
    'plugin/no-unsupported-browser-features': [
      true,
      {
        // Without these the page looks a little different and works the same: browsers draw their own ring around what
        // has the focus, use the next font, scroll at once, and telephones have no cursor.
        ignore: [
          'css-backdrop-filter',
          'css-focus-visible',
          'css-resize',
          'css-scroll-behavior',
          'css3-cursors',
          'extended-system-fonts',
        ],
        ignorePartialSupport: true,
      },
    ],
    // Its data does not know functions. With a variable inside they are not even left out: the property falls back to
    // its initial value, whatever is declared before.
    'function-disallowed-list': [
      'color-mix',
      'color',
      'oklch',
      'oklab',
      'lch',
      'lab',
      'light-dark',
      'round',
      'mod',
    ],
  },
  overrides: [{ files: ['**/*.svelte'], customSyntax: 'postcss-html' }],
};
