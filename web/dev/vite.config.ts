import { fileURLToPath } from 'node:url';
import { defineConfig, mergeConfig } from 'vite';
import pages from '../vite.config.ts';
import { fakeServer } from './fake-server.ts';

/** The pages in front of a made-up server. Nothing of this reaches `npm run build`. */
export default mergeConfig(
  // Without its proxies, which would hang up on the made-up chat: there is no api behind them.
  { ...pages, server: {} },
  defineConfig({
    root: fileURLToPath(new URL('..', import.meta.url)),
    plugins: [fakeServer()],
  }),
);
