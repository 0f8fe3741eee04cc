import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import { precompress } from './precompress.ts';

export default defineConfig({
  plugins: [svelte(), precompress()],
  build: {
    // The oldest browsers that docs/watching.md promises; package.json has them for the linters.
    target: ['chrome90', 'edge90', 'firefox91', 'safari15', 'ios15'],
    // The api serves a strict Content-Security-Policy: nothing may become a data: URL or an inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // hls.js alone is above the default of 500 kB; it is loaded on the watch page only.
    chunkSizeWarningLimit: 700,
  },
  server: {
    // `npm run dev` works against an api on its usual port.
    proxy: {
      '/api': 'http://127.0.0.1:3000',
      '/pictures': 'http://127.0.0.1:3000',
      '/ws': { target: 'http://127.0.0.1:3000', ws: true },
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
});
