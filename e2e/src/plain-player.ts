import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A page with hls.js as it comes, the way its own README sets it up: `/?{address of the master playlist}`. */
export async function servePlainPlayer(): Promise<{ url: string; stop: () => Promise<void> }> {
  const script = await readFile(new URL('../node_modules/hls.js/dist/hls.min.js', import.meta.url));
  const server = createServer((request, response) => {
    if (request.url === '/hls.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
    else if (request.url?.startsWith('/?')) response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

// The answers to fatal errors are those of hls.js's documentation; the platform's death is the only case that needs them.
const PAGE = `<!doctype html>
<title>hls.js at its defaults</title>
<video muted autoplay playsinline width="640" height="360"></video>
<script src="/hls.js"></script>
<script>
  const hls = new Hls();
  window.fatal = [];
  window.problems = [];
  hls.on(Hls.Events.ERROR, (_, { fatal, type, details }) => {
    window.problems.push(details);
    if (!fatal) return;
    window.fatal.push(details);
    if (type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
    else setTimeout(() => hls.startLoad(), 500);
  });
  // hls.js 1.7.4 says no end where a hole of less than its maxBufferHole is still buffered before the picture
  // (\`_streamEnded\` counts it as one ahead): it shows all there is, knows that the playlist is closed, and waits.
  window.shownWithoutAnEnd = () => {
    const { buffered, currentTime } = hls.media;
    const details = hls.latestLevelDetails;
    return buffered.length > 1 && details !== null && !details.live && details.edge - currentTime < 0.25;
  };
  hls.loadSource(decodeURIComponent(location.search.slice(1)));
  hls.attachMedia(document.querySelector('video'));
</script>
`;
