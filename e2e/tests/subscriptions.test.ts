import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { browse, newWindow, type Browser, type Page } from '../src/browser.ts';
import { FakeStripe } from '../src/fake-stripe.ts';
import { Mailbox } from '../src/mailbox.ts';
import { Platform } from '../src/platform.ts';
import { until } from '../src/process.ts';
import { Streamer } from '../src/streamer.ts';

const MONTH = 32 * 24 * 3600;

/** A streamer who sells and a viewer who pays, from the first price to the withdrawal: each test goes on where the one before it ended. */
describe('subscriptions', () => {
  let stripe: FakeStripe;
  let mailbox: Mailbox;
  let platform: Platform;
  let browser: Browser;
  let close: () => Promise<void>;
  let ana: Page;
  let bob: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    [stripe, mailbox] = await Promise.all([FakeStripe.start(), Mailbox.open()]);
    platform = await Platform.start({
      CAUDAL_LADDER: 'none',
      STRIPE_SECRET_KEY: FakeStripe.key,
      STRIPE_WEBHOOK_SECRETS: FakeStripe.webhookSecret,
      STRIPE_API_BASE: stripe.url,
      CAUDAL_PLATFORM_FEE: '20',
      SMTP_URL: mailbox.url,
      SMTP_FROM: 'Caudal <no-reply@live.example>',
    });
    await stripe.does('endpoint', { url: `${platform.web}/webhooks/stripe` });
    ({ browser, close } = await browse());
    [ana, bob] = [await newWindow(browser), await newWindow(browser)];
    for (const page of [ana, bob]) {
      page.on('pageerror', (error) => errors.push(String(error)));
      // The fake's own pages are not judged.
      page.on('console', (line) => line.type() === 'error' && page.url().startsWith(platform.web) && errors.push(`${page.url()}: ${line.text()}`));
    }
    await new Streamer(ana, platform.web).signUp('ana');
    await new Streamer(bob, platform.web).signUp('bob');
  });

  afterAll(async () => {
    await close?.();
    await platform?.stop();
    await mailbox?.close();
    await stripe?.stop();
    expect(errors).toEqual([]);
  });

  async function go(page: Page, to: string): Promise<void> {
    await page.bringToFront();
    await page.goto(platform.web + to);
  }

  async function press(page: Page, words: string, within = 'main'): Promise<void> {
    const found = `::-p-xpath(//${within}//*[self::button or self::a][normalize-space()="${words}"])`;
    const button = await page.waitForSelector(found);
    await button?.evaluate((one) => (one as HTMLElement).click());
  }

  const says = (page: Page, words: string) =>
    page.waitForFunction((some) => document.querySelector('main')?.textContent?.includes(some), {}, words);

  /** Opens a page again until it says so: what Stripe tells comes a moment later. */
  async function comesToSay(page: Page, to: string, words: string): Promise<void> {
    await until(`${to} says ${words}`, async () => {
      await go(page, to);
      await page.waitForFunction(() => (document.querySelector('main')?.textContent ?? '').length > 40);
      return page.evaluate((some) => document.querySelector('main')?.textContent?.includes(some), words);
    });
  }

  const mailed = (subject: string) =>
    until(`a mail: ${subject}`, () => mailbox.mails.some((mail) => mail.includes(`Subject: ${subject}`)));

  test('a streamer sets prices', async () => {
    await go(ana, '/studio/subscriptions');
    for (const [tier, price] of [['basic', '4.99'], ['pro', '9.99'], ['premium', '24.99']] as const) {
      const field = await ana.waitForSelector(`#price-${tier}`);
      await field?.evaluate((input) => ((input as HTMLInputElement).value = ''));
      await field?.type(price);
      await press(ana, 'Sell', `div[@data-tier="${tier}"]`);
      await ana.waitForFunction((of) => document.querySelector(`[data-tier=${of}]`)?.textContent?.includes('Stop selling'), {}, tier);
    }
  });

  test('a viewer pays by card, and comes back to a page that knows', async () => {
    await go(bob, '/@ana');
    await says(bob, '€9.99');
    await says(bob, 'You can withdraw from the contract within 14 days');
    const [, pay] = await bob.$$('::-p-xpath(//main//button[contains(., "Subscribe and pay")])');
    await pay?.evaluate((button) => (button as HTMLElement).click());
    await bob.waitForSelector('#pay-declined');
    await Promise.all([bob.waitForNavigation(), bob.click('#pay-declined')]);
    await bob.waitForSelector('#pay-ok');
    await Promise.all([bob.waitForNavigation(), bob.click('#pay-ok')]);
    await until('the way back', () => new URL(bob.url()).pathname.startsWith('/checkout/'));
    await says(bob, 'Thank you! You are now subscribed to ana (Pro).');
    await mailed('Your subscription');
    await go(bob, '/@ana');
    await says(bob, 'Your tier');
  });

  test('the streamer sees who and how much', async () => {
    await go(ana, '/studio/subscriptions');
    await says(ana, 'bob');
    await says(ana, '€8.00');
    await go(ana, '/notifications');
    await says(ana, 'bob');
  });

  test('an upgrade that the bank declines changes nothing, and one that it confirms does', async () => {
    const [customer] = await stripe.objects('customers');
    await stripe.does('card', { customer: customer?.id, card: 'requires_3ds' });
    await go(bob, '/@ana');
    await press(bob, 'Change to Premium now');
    await press(bob, 'Change and pay');
    await says(bob, 'Complete the payment');
    const invoice = (await stripe.objects('invoices')).find(({ status }) => status === 'open');
    await stripe.does('pay_invoice', { invoice: invoice?.id, card: 'ok' });
    await comesToSay(bob, '/settings/subscriptions', 'Premium');
  });

  test('a renewal that fails says so, and is paid by another card', async () => {
    const [customer] = await stripe.objects('customers');
    await stripe.does('card', { customer: customer?.id, card: 'declined' });
    await stripe.does('advance', { seconds: MONTH });
    await comesToSay(bob, '/settings/subscriptions', 'Complete the payment');
    await mailed('Your subscription could not be renewed');
    const invoice = (await stripe.objects('invoices')).find(({ status }) => status === 'open');
    await stripe.does('pay_invoice', { invoice: invoice?.id, card: 'ok' });
    await until('it is paid', async () => {
      await go(bob, '/settings/subscriptions');
      await says(bob, 'Premium');
      return bob.evaluate(() => !document.querySelector('main')?.textContent?.includes('Complete the payment'));
    });
  });

  test('cancel, resume, and withdraw, each without asking anybody', async () => {
    await go(bob, '/settings/subscriptions');
    await press(bob, 'Cancel subscription…');
    await press(bob, 'Cancel now');
    await says(bob, 'Cancelled');
    await mailed('Your subscription is cancelled');
    await press(bob, 'Resume');
    await says(bob, 'Renews on');
    await press(bob, 'Withdraw from contract here');
    await press(bob, 'Confirm withdrawal here');
    await says(bob, 'You have withdrawn');
    await mailed('Your withdrawal');
    await until('the money is back', async () => {
      const charges = await stripe.objects('charges');
      return charges.filter(({ status }) => status === 'succeeded').every(({ refunded }) => refunded === true);
    });
    await go(ana, '/studio/subscriptions');
    await says(ana, '€0.00');
  });
});
