import type { Page } from './browser.ts';
import { until } from './process.ts';

/** A line of chat, as a page shows it. */
export interface ShownLine {
  id: string;
  name: string;
  text: string;
}

/** Somebody in front of a watch page who reads and talks. */
export class Chatter {
  readonly page: Page;
  readonly #web: string;

  constructor(page: Page, web: string) {
    this.page = page;
    this.#web = web;
  }

  async opens(streamId: string): Promise<void> {
    await this.page.bringToFront();
    await this.page.goto(`${this.#web}/watch/${streamId}`);
    await this.page.waitForSelector('[role="log"]');
  }

  /** From the chat's own link, and back to it. */
  async logsIn(username: string, password: string): Promise<void> {
    await this.page.bringToFront();
    const at = new URL(this.page.url()).pathname;
    await this.page.waitForSelector('section[aria-label="Chat"] a[href^="/login"]');
    await this.page.click('section[aria-label="Chat"] a[href^="/login"]');
    await this.page.waitForSelector('#login');
    await this.page.type('#login', username);
    await this.page.type('#password', password);
    await this.page.click('form button.primary');
    await until('the watch page again', () => new URL(this.page.url()).pathname === at);
    await this.page.waitForSelector('#chat-text');
  }

  async types(text: string): Promise<void> {
    await this.page.bringToFront();
    await this.page.waitForSelector('#chat-text');
    await this.page.focus('#chat-text');
    await this.page.keyboard.type(text);
  }

  async says(text: string): Promise<void> {
    await this.types(text);
    await this.page.keyboard.press('Enter');
  }

  /** What waits to be sent. */
  draft(): Promise<string> {
    return this.page.$eval('#chat-text', (field) => (field as HTMLTextAreaElement).value);
  }

  lines(): Promise<ShownLine[]> {
    return this.page.$$eval('[role="log"] [data-line]', (lines) =>
      lines.map((line) => ({
        id: line.getAttribute('data-line') ?? '',
        name: line.querySelector('.name')?.textContent?.trim() ?? '',
        text: line.querySelector('.text')?.textContent?.trim() ?? '',
      })),
    );
  }

  async texts(): Promise<string[]> {
    return (await this.lines()).map(({ text }) => text);
  }

  /** Waits until the last line says this. */
  async hears(text: string, patience?: number): Promise<void> {
    await until(`“${text}” is the last line`, async () => (await this.texts()).at(-1) === text, patience);
  }

  /** Waits until the chat says something about itself. */
  async isTold(words: string): Promise<void> {
    await this.page.waitForFunction(
      (some) => document.querySelector('section[aria-label="Chat"]')?.textContent?.includes(some),
      {},
      words,
    );
  }

  /** Whether the page offers to delete the line. */
  async mayDelete(text: string): Promise<boolean> {
    return (await this.#button(text, '[data-delete]')) !== null;
  }

  async deletes(text: string): Promise<void> {
    await this.#presses(text, '[data-delete]');
  }

  async repliesTo(text: string): Promise<void> {
    await this.#presses(text, '[data-reply]');
  }

  /** Whether the page offers to act on who said it. */
  async mayModerate(text: string): Promise<boolean> {
    return (await this.#button(text, '[data-moderate]')) !== null;
  }

  /** Chooses in the menu of a line: by the entry's attribute, as `data-ban`. */
  async moderates(text: string, entry: string): Promise<void> {
    await this.#presses(text, '[data-moderate]');
    await this.page.locator(`[role="menu"] [${entry}]`).click();
  }

  /** For good, and confirms that. */
  async bans(text: string): Promise<void> {
    await this.moderates(text, 'data-ban');
    await this.page.locator('[role="alertdialog"] [data-ban-now]').click();
  }

  /** Opens the chat's settings at one of their tabs. */
  async opensSettings(tab: 'rules' | 'terms' | 'bans' | 'moderators' | 'log'): Promise<void> {
    await this.page.bringToFront();
    await this.page.locator('section[aria-label="Chat"] button[aria-haspopup="dialog"]').click();
    await this.page.locator(`#tab-${tab}`).click();
  }

  async closesSettings(): Promise<void> {
    await this.page.keyboard.press('Escape');
    await this.page.waitForSelector('[role="dialog"]', { hidden: true });
  }

  async #presses(text: string, selector: string): Promise<void> {
    await this.page.bringToFront();
    const button = await this.#button(text, selector);
    if (!button) throw new Error(`no ${selector} at “${text}”`);
    await button.evaluate((one) => (one as HTMLElement).click());
  }

  async #button(text: string, selector: string) {
    const line = (await this.lines()).find((one) => one.text === text);
    if (!line) throw new Error(`nobody said “${text}”`);
    return this.page.$(`[data-line="${line.id}"] ${selector}`);
  }
}
