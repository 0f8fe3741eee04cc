//! Somebody who sells through the fake.

use std::time::Duration;

use caudal_fakes::stripe::{Card, FakeStripe, STRIPE_VERSION, Settings};
use serde_json::Value;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Shop {
    pub(crate) stripe: FakeStripe,
    pub(crate) http: reqwest::Client,
    pub(crate) customer: String,
    /// 4.99, 9.99 and 24.99 EUR a month.
    pub(crate) basic: String,
    pub(crate) pro: String,
    pub(crate) premium: String,
}

/// A status and a body.
pub(crate) type Answer = (u16, Value);

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(Settings::default()).await
    }

    pub(crate) async fn open_with(settings: Settings) -> Self {
        let stripe = FakeStripe::start(settings).await;
        let redirect = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(redirect).build().unwrap();
        let nothing = String::new;
        let mut shop =
            Self { stripe, http, customer: nothing(), basic: nothing(), pro: nothing(), premium: nothing() };
        shop.customer = shop.make("/v1/customers", &[("email", "viewer@example.com")]).await;
        let product = shop.make("/v1/products", &[("name", "Channel")]).await;
        for (amount, place) in [("499", 0), ("999", 1), ("2499", 2)] {
            let price = [
                ("product", product.as_str()),
                ("unit_amount", amount),
                ("currency", "eur"),
                ("recurring[interval]", "month"),
                ("tax_behavior", "inclusive"),
            ];
            let price = shop.make("/v1/prices", &price).await;
            *[&mut shop.basic, &mut shop.pro, &mut shop.premium][place] = price;
        }
        shop
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.stripe.url);
        let request = self.http.request(method.parse().unwrap(), url);
        request.bearer_auth("sk_test_fake").header("Stripe-Version", STRIPE_VERSION)
    }

    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = "application/x-www-form-urlencoded";
        self.request("POST", path).header("Content-Type", form).body(body)
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        answer(self.form(path, fields)).await
    }

    pub(crate) async fn post_with_key(&self, key: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        answer(self.form(path, fields).header("Idempotency-Key", key)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request("DELETE", path)).await
    }

    /// Posts what must succeed.
    pub(crate) async fn posted(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let (status, body) = self.post(path, fields).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) async fn make(&self, path: &str, fields: &[(&str, &str)]) -> String {
        text(&self.posted(path, fields).await["id"])
    }

    pub(crate) async fn checkout(&self, price: &str) -> String {
        let fields = [
            ("mode", "subscription"),
            ("ui_mode", "hosted_page"),
            ("customer", self.customer.as_str()),
            ("line_items[0][price]", price),
            ("line_items[0][quantity]", "1"),
            ("success_url", "http://localhost/checkout/1?session={CHECKOUT_SESSION_ID}"),
            ("cancel_url", "http://localhost/checkout/1"),
            ("subscription_data[metadata][checkout]", "1"),
        ];
        self.make("/v1/checkout/sessions", &fields).await
    }

    /// A subscription that was just paid for.
    pub(crate) async fn subscribed(&self, price: &str) -> String {
        let session = self.checkout(price).await;
        self.stripe.pay(&session, Card::Ok);
        text(&self.stripe.object(&session)["subscription"])
    }

    /// What a subscription's newest invoice is.
    pub(crate) fn latest_invoice(&self, subscription: &str) -> Value {
        self.stripe.object(&text(&self.stripe.object(subscription)["latest_invoice"]))
    }

    pub(crate) fn price_of(&self, subscription: &str) -> String {
        text(&self.stripe.object(subscription)["items"]["data"][0]["price"]["id"])
    }

    /// The present period's start and end.
    pub(crate) fn period_of(&self, subscription: &str) -> (i64, i64) {
        let item = self.stripe.object(subscription)["items"]["data"][0].clone();
        (item["current_period_start"].as_i64().unwrap(), item["current_period_end"].as_i64().unwrap())
    }

    /// Asks for another price, as our api does: it begins when it is paid for.
    pub(crate) async fn upgrade(&self, subscription: &str, price: &str) -> Value {
        let item = text(&self.stripe.object(subscription)["items"]["data"][0]["id"]);
        let fields = [
            ("items[0][id]", item.as_str()),
            ("items[0][price]", price),
            ("proration_behavior", "always_invoice"),
            ("payment_behavior", "pending_if_incomplete"),
            ("expand[]", "latest_invoice"),
        ];
        self.posted(&format!("/v1/subscriptions/{subscription}"), &fields).await
    }

    /// The types of all events, in order.
    pub(crate) fn events(&self) -> Vec<String> {
        self.stripe.objects("events").iter().map(|event| text(&event["type"])).collect()
    }

    /// How many events there were of a type.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.events().iter().filter(|event| *event == kind).count()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
