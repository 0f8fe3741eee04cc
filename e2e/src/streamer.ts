import type { Page } from './browser.ts';
import { until } from './process.ts';

/** What OBS asks a streamer for. */
export interface Credentials {
  server: string;
  key: string;
}

/** Somebody who broadcasts, in front of our pages. */
export class Streamer {
  readonly page: Page;
  readonly #web: string;

  constructor(page: Page, web: string) {
    this.page = page;
    this.#web = web;
  }

  /** Signs up with the form, and ends on the page that comes after it. */
  async signUp(username: string): Promise<void> {
    await this.page.goto(`${this.#web}/register`);
    await this.page.type('#username', username);
    await this.page.type('#email', `${username}@example.org`);
    await this.page.type('#password', 'correct horse battery');
    await this.page.click('form button.primary');
    await this.page.waitForFunction(() => location.pathname !== '/register');
  }

  /** Opens the studio; gives what its field for the stream key shows before anybody asks for the key. */
  async opensStudio(): Promise<string> {
    await this.page.goto(`${this.#web}/studio`);
    await this.page.waitForSelector('#key');
    return this.#field('key');
  }

  /** Asks the studio for the stream key. */
  async reveals(): Promise<Credentials> {
    await this.page.click('button[aria-label="Show the stream key"]');
    await this.page.waitForFunction(() => !document.querySelector<HTMLInputElement>('#key')?.value.startsWith('•'));
    return { server: await this.#field('server'), key: await this.#field('key') };
  }

  /** Waits until the studio says so. */
  async isLive(): Promise<void> {
    await this.page.waitForFunction(() => document.querySelector('h1')?.textContent === 'You are live');
  }

  /** Ends the broadcast with the studio's buttons, until her encoder is `gone`. */
  async ends(gone: () => boolean): Promise<void> {
    await this.page.bringToFront();
    await until('her encoder is turned away', async () => {
      for (const words of ['End stream', 'Yes, end it']) {
        await (await this.page.$(`::-p-xpath(//button[normalize-space()="${words}"])`))?.click();
      }
      return gone();
    });
  }

  #field(id: string): Promise<string> {
    return this.page.$eval(`#${id}`, (input) => (input as HTMLInputElement).value);
  }
}
