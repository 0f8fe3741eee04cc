//! A platform that sells, a Stripe that can be steered, and a mailbox.

use std::sync::Arc;
use std::time::Duration;

use caudal_api::{BillingConfig, Config, Fee, MailConfig, Minor, StripeConfig, TierPrice, TierPrices};
use caudal_fakes::stripe::{Card, FakeStripe, Outcome, Settings};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::database::TestDatabase;
use crate::running::{Answer, Person, Running};
use crate::smtp_server::SmtpServer;

pub(crate) const WEBHOOK_SECRET: &str = "whsec_of_the_tests";

/// What is sold with a fake Stripe, whose key it is.
fn billing(stripe: &FakeStripe) -> BillingConfig {
    let price = |usual| TierPrice { min: Minor(100), max: Minor(10_000), usual: Minor(usual) };
    BillingConfig {
        stripe: StripeConfig {
            secret_key: "sk_test_fake".into(),
            webhook_secrets: vec!["whsec_old".into(), WEBHOOK_SECRET.into()],
            api_base: stripe.url.clone(),
        },
        currency: "EUR".parse().unwrap(),
        prices: TierPrices { basic: price(499), pro: price(999), premium: price(2_499) },
        fee: Fee::of_percent(20).unwrap(),
        grace: Duration::from_hours(11 * 24),
        withdrawal: Duration::from_hours(14 * 24),
        automatic_tax: false,
    }
}

/// Has an api sell, and send its mails.
pub(crate) fn sells(config: &mut Config, stripe: &FakeStripe, mail: &SmtpServer) {
    config.billing = Some(billing(stripe));
    config.mail = Some(MailConfig { url: mail.url.clone().into(), from: "no-reply@live.test".into() });
}

pub(crate) async fn fake_stripe() -> FakeStripe {
    FakeStripe::start(Settings { webhook_secret: WEBHOOK_SECRET.to_owned(), ..Settings::default() }).await
}

/// An api that sells.
pub(crate) struct Shop {
    pub(crate) api: Running,
    pub(crate) stripe: FakeStripe,
    pub(crate) mail: SmtpServer,
}

impl Shop {
    /// Whose webhooks reach nobody yet: see [`Shop::listens`].
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let (stripe, mail) = (fake_stripe().await, SmtpServer::start().await);
        let database = Arc::new(TestDatabase::create().await);
        let api = Running::replica(database, |config| {
            config.billing = Some(billing(&stripe));
            config.mail =
                Some(MailConfig { url: mail.url.clone().into(), from: "no-reply@live.test".into() });
            change(config);
        })
        .await;
        Self { api, stripe, mail }
    }

    /// Another api on the same database.
    pub(crate) async fn replica(&self, change: impl FnOnce(&mut Config)) -> Running {
        Running::replica(Arc::clone(&self.api.database), |config| {
            sells(config, &self.stripe, &self.mail);
            change(config);
        })
        .await
    }

    /// Has Stripe tell this api what happens.
    pub(crate) fn listens(&self) {
        self.stripe.add_endpoint(&self.webhook_url(), caudal_fakes::stripe::Payload::Snapshot);
    }

    pub(crate) fn webhook_url(&self) -> String {
        format!("{}/webhooks/stripe", self.api.url)
    }

    /// Somebody who sells all tiers.
    pub(crate) async fn streamer(&self, name: &str) -> Person<'_> {
        let streamer = self.api.register(name).await;
        for (tier, amount) in [("basic", 499), ("pro", 999), ("premium", 2_499)] {
            let sold = crate::running::send(
                streamer
                    .request(reqwest::Method::PUT, &format!("/api/billing/plans/{tier}"))
                    .json(&json!({ "amount": amount })),
            );
            assert_eq!(sold.await.status, StatusCode::OK);
        }
        streamer
    }

    /// The checkout that somebody opens, and its session at Stripe.
    pub(crate) async fn checkout(
        &self,
        viewer: &Person<'_>,
        streamer: &Person<'_>,
        tier: &str,
    ) -> (String, String) {
        let answer = wants(viewer, &streamer.id, tier).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.json);
        let url = answer.json["url"].as_str().unwrap();
        (answer.json["id"].as_str().unwrap().to_owned(), url.rsplit('/').next().unwrap().to_owned())
    }

    /// Somebody's subscription, from the button to the page that says so.
    pub(crate) async fn subscribes(&self, viewer: &Person<'_>, streamer: &Person<'_>, tier: &str) -> Value {
        let (checkout, session) = self.checkout(viewer, streamer, tier).await;
        assert_eq!(self.stripe.pay(&session, Card::Ok), Outcome::Paid);
        let paid = viewer.get(&format!("/api/checkouts/{checkout}")).await;
        assert_eq!(paid.json["status"], "paid", "{}", paid.json);
        self.subscription(viewer).await
    }

    /// The latest one of somebody.
    pub(crate) async fn subscription(&self, viewer: &Person<'_>) -> Value {
        viewer.get("/api/subscriptions/me").await.json[0].clone()
    }

    /// The latest one, once it is so.
    pub(crate) async fn until(&self, viewer: &Person<'_>, is_so: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let found = self.subscription(viewer).await;
                if is_so(&found) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        let Ok(found) = came else { panic!("still: {}", self.subscription(viewer).await) };
        found
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.api.database.pool).await.unwrap()
    }
}

pub(crate) async fn wants(viewer: &Person<'_>, streamer: &str, tier: &str) -> Answer {
    viewer
        .post("/api/subscriptions", json!({ "streamerId": streamer, "tier": tier, "paymentMethod": "card" }))
        .await
}
