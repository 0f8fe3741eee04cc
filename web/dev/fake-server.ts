import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Plugin } from 'vite';
import { answerApi } from './fake-api.ts';
import { FakeChat } from './fake-chat.ts';
import { FakeLive } from './fake-live.ts';

/**
 * A stand-in for api and hls-edge, so that the pages can be looked at without them.
 *
 * It proves nothing about the real ones: it keeps everything in memory, checks next to nothing, and its live stream
 * is a short clip in a loop, cut into parts beforehand, without RTMP, worker, lifecycle or storage. What it is good
 * for: how the pages look, and how the player behaves when parts come late, stop or end (`POST /fake/control`).
 */
export function fakeServer(): Plugin {
  let live: Promise<FakeLive> | undefined;
  const chat = new FakeChat();
  const middleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => {
    live ??= FakeLive.prepare();
    live
      .then(async (stream) => {
        res.setHeader('content-security-policy', POLICY);
        const url = new URL(req.url ?? '/', 'http://fake');
        if (await stream.answer(req, res, url)) return;
        if (await chat.answer(req, res, url)) return;
        if (await answerApi(req, res, url, stream)) return;
        next();
      })
      .catch(next);
  };
  return {
    name: 'caudal-fake-server',
    configurePreviewServer: ({ middlewares, httpServer }) => {
      chat.attachTo(httpServer as Server);
      middlewares.use(middleware);
    },
    configureServer: ({ middlewares, httpServer }) => {
      if (httpServer !== null) chat.attachTo(httpServer as Server);
      middlewares.use((req, res, next) => {
        middleware(req, res, (error) => {
          // Vite's development client is an inline script and injects styles; only built pages keep the policy.
          res.removeHeader('content-security-policy');
          next(error);
        });
      });
    },
  };
}

/** As strict as the api's. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
