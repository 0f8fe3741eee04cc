import { expect, it } from 'vitest';
import { paymentPage } from './payment-page.ts';

it.each([
  ['https://checkout.stripe.com/c/pay/cs_1#a%20b', 'https://checkout.stripe.com/c/pay/cs_1#a%20b'],
  ['http://127.0.0.1:4242/pay', 'http://127.0.0.1:4242/pay'],
  ['http://localhost:4242/pay', 'http://localhost:4242/pay'],
  ['http://checkout.example/pay', null],
  ['http://localhost.example/pay', null],
  ['http://127.0.0.1@evil.example/', null],
  ['javascript:alert(1)', null],
  ['data:text/html,x', null],
  ['//evil.example', null],
  ['/login', null],
  ['', null],
  [null, null],
])('%j may be gone to: %j', (address, page) => {
  expect(paymentPage(address)).toBe(page);
});
