import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span, as far as tests look at it. */
export interface Span {
  service: string;
  trace: string;
  id: string;
  /** Empty for a root. */
  parent: string;
  name: string;
}

/** A collector of traces: takes OTLP over HTTP, decodes it by the public definitions, and keeps it. What a real one makes of it, it does not show. */
export class Collector {
  readonly spans: Span[] = [];
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Collector> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const collector = new Collector(server);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const mine = request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf';
        if (mine) collector.spans.push(...spans(Buffer.concat(chunks)));
        response.writeHead(mine ? 200 : 404).end();
      });
    });
    return collector;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** What an ExportTraceServiceRequest holds (opentelemetry/proto/collector/trace/v1/trace_service.proto). */
function spans(request: Buffer): Span[] {
  return all(request, 1).flatMap((ofResource) => {
    const attributes = all(first(ofResource, 1), 1).map((pair) => [String(first(pair, 1)), String(first(first(pair, 2), 1))]);
    const service = Object.fromEntries(attributes)['service.name'] ?? '';
    return all(ofResource, 2).flatMap((ofScope) =>
      all(ofScope, 2).map((span) => ({
        service,
        trace: first(span, 1).toString('hex'),
        id: first(span, 2).toString('hex'),
        parent: first(span, 4).toString('hex'),
        name: String(first(span, 5)),
      })),
    );
  });
}

function first(message: Buffer, field: number): Buffer {
  return all(message, field)[0] ?? Buffer.alloc(0);
}

/** The values of a field that has a length: messages, texts and bytes. */
function all(message: Buffer, field: number): Buffer[] {
  const found: Buffer[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) throw new Error('a message that ends in a number');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const [number, wire] = [Math.floor(key / 8), key % 8];
    if (wire === 2) {
      const length = varint();
      if (number === field) found.push(message.subarray(at, at + length));
      at += length;
    } else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else varint();
  }
  return found;
}
