//! Events on their way.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use caudal_fakes::stripe::{Card, Mode, Order, Payload, Policy, Settings, signature};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::shop::{Shop, text};

/// Somebody's server that is told of events.
#[derive(Clone, Default)]
struct Receiver {
    heard: Arc<Mutex<Vec<(String, String)>>>,
    /// What the next events are answered; then 200.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/stripe", listener.local_addr().unwrap());
        let receiver = Self::default();
        let router = Router::new().fallback(hear).with_state(receiver.clone());
        // It ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, url)
    }

    fn bodies(&self) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.bodies().iter().map(|body| text(&body["type"])).collect()
    }
}

async fn hear(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers["stripe-signature"].to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    receiver.heard.lock().unwrap().push((signature, body));
    let answer = receiver.answers.lock().unwrap().pop();
    answer.map_or(StatusCode::OK, |status| StatusCode::from_u16(status).unwrap())
}

/// A shop whose endpoint hears of two things, `customer.created` first.
async fn told(payload: Payload, policy: Policy) -> (Shop, Receiver) {
    let shop = Shop::open().await;
    let (receiver, url) = Receiver::start().await;
    shop.stripe.add_endpoint(&url, payload);
    shop.stripe.set_policy(policy);
    shop.make("/v1/customers", &[("email", "one@example.com")]).await;
    shop.make("/v1/products", &[("name", "x")]).await;
    shop.stripe.delivered().await;
    (shop, receiver)
}

#[tokio::test]
async fn an_event_is_signed_with_its_endpoints_secret_at_the_time_of_its_sending() {
    let (shop, receiver) = told(Payload::Snapshot, Policy::default()).await;
    assert_eq!(receiver.kinds(), ["customer.created", "product.created"]);
    for (sent, body) in receiver.heard.lock().unwrap().iter() {
        let at = sent.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(*sent, signature("whsec_fake", at, body));
        assert!((chrono::Utc::now().timestamp() - at).abs() < 60);
    }
    let body = receiver.bodies().remove(0);
    assert_eq!((&body["object"], &body["livemode"]), (&json!("event"), &json!(false)));
    assert_eq!(body["data"]["object"]["email"], "one@example.com");
    assert!(shop.stripe.attempts().iter().all(|attempt| attempt.status == Some(200)));
}

#[tokio::test]
async fn a_signature_is_as_old_as_the_policy_says() {
    let policy = Policy { signature_age: 600, ..Policy::default() };
    let (_shop, receiver) = told(Payload::Snapshot, policy).await;
    let (sent, _) = receiver.heard.lock().unwrap()[0].clone();
    let at: i64 = sent.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(chrono::Utc::now().timestamp() - at >= 600);
}

#[tokio::test]
async fn a_thin_event_names_its_object_and_does_not_have_it() {
    let (shop, receiver) = told(Payload::Thin, Policy::default()).await;
    let body = receiver.bodies().remove(0);
    assert_eq!((&body["object"], &body["type"]), (&json!("v2.core.event"), &json!("v1.customer.created")));
    assert_eq!(body.get("data"), None);
    let related = &body["related_object"];
    assert_eq!(related["type"], "customer");
    let (status, _) = shop.get(&text(&related["url"])).await;
    assert_eq!(status, 200, "{related}");
}

#[tokio::test]
async fn every_thin_event_leads_to_its_object() {
    let (shop, receiver) = told(Payload::Thin, Policy::default()).await;
    let subscription = shop.subscribed(&shop.premium).await;
    shop.make("/v1/subscription_schedules", &[("from_subscription", &subscription)]).await;
    shop.stripe.refund(&text(&shop.stripe.objects("charges")[0]["id"]), Some(1));
    shop.stripe.delivered().await;
    for body in receiver.bodies() {
        let url = text(&body["related_object"]["url"]);
        assert_eq!(shop.get(&url).await.0, 200, "{body}");
    }
}

#[tokio::test]
async fn events_are_doubled() {
    let (shop, receiver) = told(Payload::Snapshot, Policy { copies: 2, ..Policy::default() }).await;
    let twice = ["customer.created", "customer.created", "product.created", "product.created"];
    assert_eq!(receiver.kinds(), twice);
    let ids: Vec<_> = receiver.bodies().iter().map(|body| text(&body["id"])).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(shop.stripe.attempts().len(), 4);
}

#[tokio::test]
async fn events_are_held_and_then_reversed() {
    let (shop, receiver) = told(Payload::Snapshot, Policy { hold: true, ..Policy::default() }).await;
    assert!(receiver.kinds().is_empty());
    shop.stripe.set_policy(Policy { order: Order::Reversed, ..Policy::default() });
    shop.stripe.deliver_pending();
    shop.stripe.delivered().await;
    assert_eq!(receiver.kinds(), ["product.created", "customer.created"]);
}

#[tokio::test]
async fn the_events_of_one_payment_are_reversed_or_shuffled() {
    let orders = [Order::Happened, Order::Reversed, Order::Shuffled];
    let mut heard = Vec::new();
    for order in orders {
        let (shop, receiver) = told(Payload::Snapshot, Policy { order, ..Policy::default() }).await;
        let session = shop.checkout(&shop.basic).await;
        receiver.heard.lock().unwrap().clear();
        shop.stripe.pay(&session, Card::Ok);
        shop.stripe.delivered().await;
        heard.push(receiver.kinds());
    }
    let [happened, mut reversed, mut shuffled] = <[_; 3]>::try_from(heard).unwrap();
    assert_eq!(happened.last().unwrap(), "checkout.session.completed");
    assert_ne!(shuffled, happened);
    reversed.reverse();
    assert_eq!(reversed, happened);
    let mut sorted = happened.clone();
    sorted.sort();
    shuffled.sort();
    assert_eq!(shuffled, sorted);
}

#[tokio::test]
async fn a_lost_event_can_be_sent_all_the_same() {
    let (shop, receiver) = told(Payload::Snapshot, Policy { lose_percent: 100, ..Policy::default() }).await;
    assert!(receiver.kinds().is_empty());
    let attempts = shop.stripe.attempts();
    assert!(attempts.iter().all(|attempt| attempt.error.as_deref() == Some("lost")));
    shop.stripe.deliver(&attempts[0].event);
    shop.stripe.deliver(&attempts[0].event);
    shop.stripe.delivered().await;
    assert_eq!(receiver.kinds(), ["customer.created", "customer.created"]);
}

#[tokio::test]
async fn the_same_seed_loses_the_same_events() {
    let mut lost = Vec::new();
    for seed in [7, 7, 8] {
        let shop = Shop::open_with(Settings { seed, ..Settings::default() }).await;
        let (_receiver, url) = Receiver::start().await;
        shop.stripe.add_endpoint(&url, Payload::Snapshot);
        shop.stripe.set_policy(Policy { lose_percent: 50, ..Policy::default() });
        for _ in 0..3 {
            shop.subscribed(&shop.basic).await;
        }
        shop.stripe.delivered().await;
        // Losses are noted at once and answers later: only what was lost has a fixed order.
        let attempts = shop.stripe.attempts();
        let gone = attempts.iter().filter(|attempt| attempt.status.is_none());
        let all = shop.stripe.objects("events");
        let place = |id: &str| all.iter().position(|event| event["id"] == id).unwrap();
        lost.push(gone.map(|attempt| place(&attempt.event)).collect::<Vec<_>>());
    }
    assert_eq!(lost[0], lost[1]);
    assert_ne!(lost[0], lost[2]);
    assert!(!lost[0].is_empty());
}

#[tokio::test]
async fn an_event_comes_late() {
    let before = Instant::now();
    let (_shop, receiver) = told(Payload::Snapshot, Policy { late_ms: 300, ..Policy::default() }).await;
    assert!(before.elapsed() >= Duration::from_millis(300));
    assert_eq!(receiver.kinds().len(), 2);
}

#[tokio::test]
async fn an_event_that_was_not_taken_comes_again_a_few_times() {
    let settings = Settings { redelivery: vec![Duration::from_millis(10); 2], ..Settings::default() };
    let shop = Shop::open_with(settings).await;
    let (receiver, url) = Receiver::start().await;
    shop.stripe.add_endpoint(&url, Payload::Snapshot);
    receiver.answers.lock().unwrap().extend([200, 503]);
    shop.make("/v1/customers", &[("email", "one@example.com")]).await;
    shop.stripe.delivered().await;
    let statuses = |shop: &Shop| -> Vec<_> {
        shop.stripe.attempts().iter().map(|attempt| attempt.status.unwrap()).collect()
    };
    assert_eq!(statuses(&shop), [503, 200]);
    receiver.answers.lock().unwrap().extend([200, 500, 500, 500]);
    shop.make("/v1/customers", &[("email", "two@example.com")]).await;
    shop.stripe.delivered().await;
    assert_eq!(statuses(&shop), [503, 200, 500, 500, 500], "then it is given up");
}

#[tokio::test]
async fn an_endpoint_hears_only_what_it_asked_for_until_it_is_deleted() {
    let shop = Shop::open().await;
    let (receiver, url) = Receiver::start().await;
    let fields = [("url", url.as_str()), ("enabled_events[]", "customer.created"), ("metadata[of]", "us")];
    let endpoint = shop.posted("/v1/webhook_endpoints", &fields).await;
    assert_eq!(endpoint["secret"], "whsec_fake");
    let (_, list) = shop.get("/v1/webhook_endpoints").await;
    assert_eq!((list["data"][0].get("secret"), &list["data"][0]["metadata"]["of"]), (None, &json!("us")));
    shop.make("/v1/products", &[("name", "x")]).await;
    shop.make("/v1/customers", &[]).await;
    shop.stripe.delivered().await;
    assert_eq!(receiver.kinds(), ["customer.created"]);
    let path = format!("/v1/webhook_endpoints/{}", text(&endpoint["id"]));
    assert_eq!(shop.delete(&path).await.1["deleted"], json!(true));
    shop.make("/v1/customers", &[]).await;
    shop.stripe.delivered().await;
    assert_eq!(receiver.kinds().len(), 1);
}

#[tokio::test]
async fn somebody_elses_events_come_to_the_same_endpoint() {
    let (shop, receiver) = told(Payload::Thin, Policy::default()).await;
    receiver.heard.lock().unwrap().clear();
    shop.stripe.foreign_subscription(Mode::Live);
    shop.stripe.delivered().await;
    assert!(receiver.bodies().iter().all(|body| body["livemode"] == true));
    assert!(receiver.kinds().contains(&"v1.customer.subscription.created".to_owned()));
}
