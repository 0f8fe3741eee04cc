import path from 'node:path';
import { createInterface } from 'node:readline';

import { Program } from './process.ts';

/** `fake_stripe`, which stands beside the platform's program: api/tests/fakes says what it does not prove. */
export class FakeStripe {
  static readonly key = 'sk_test_fake';
  static readonly webhookSecret = 'whsec_of_the_tests';

  private constructor(
    readonly url: string,
    private readonly program: Program,
  ) {}

  static async start(): Promise<FakeStripe> {
    const binary = process.env.CAUDAL_BIN;
    if (!binary) throw new Error('CAUDAL_BIN is not set');
    const fake = path.join(process.env.CAUDAL_FAKES ?? path.dirname(binary), 'fake_stripe');
    const program = new Program(fake, ['--port', '0', '--key', FakeStripe.key, '--webhook-secret', FakeStripe.webhookSecret], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out = program.child.stdout;
    if (!out) throw new Error('no standard output');
    for await (const line of createInterface({ input: out })) {
      const { url } = JSON.parse(line) as { url: string };
      return new FakeStripe(url, program);
    }
    throw new Error(`fake_stripe did not start: ${program.stderr}`);
  }

  /** What a bank, a dashboard or time does. */
  async does(what: string, body: unknown): Promise<unknown> {
    const answer = await fetch(`${this.url}/_control/${what}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${what}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  async objects(kind: string): Promise<Record<string, unknown>[]> {
    const answer = await fetch(`${this.url}/_control/objects/${kind}`);
    return (await answer.json()) as Record<string, unknown>[];
  }

  async stop(): Promise<void> {
    await this.program.stop('SIGTERM');
  }
}
