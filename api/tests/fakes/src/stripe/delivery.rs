//! How events reach their endpoints: at once and in order, unless a test wants it otherwise.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::errors::Answer;
use super::server::Shared;
use super::state::State;

/// What becomes of events. The default sends each once, at once, in the order in which they happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Policy {
    /// Events wait until [`super::FakeStripe::deliver_pending`].
    pub hold: bool,
    /// How often each event is sent; copies go out at the same time.
    pub copies: u32,
    /// In which order events go out that one request, one advance of the clock, or one release of held events gives.
    pub order: Order,
    /// Of a hundred events, how many never go out; drawn from [`super::Settings::seed`].
    pub lose_percent: u8,
    /// How long after it happened an event goes out, in milliseconds of the machine's clock.
    pub late_ms: u64,
    /// How many seconds before its sending an event claims to be signed. Receivers refuse what is older than five minutes.
    pub signature_age: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { hold: false, copies: 1, order: Order::Happened, lose_percent: 0, late_ms: 0, signature_age: 0 }
    }
}

/// The order of events that go out together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they happened.
    #[default]
    Happened,
    /// The last one first.
    Reversed,
    /// Any order, drawn from [`super::Settings::seed`].
    Shuffled,
}

/// An event that was sent, or would have been.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The event's id.
    pub event: String,
    /// The event's type, without the `v1.` of thin events.
    pub kind: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// What the receiver answered.
    pub status: Option<u16>,
    /// Why there is no answer: `lost`, or what the client said.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Post {
    pub(crate) policy: Policy,
    pub(crate) attempts: Vec<Attempt>,
    /// How many events were made deliveries.
    told: usize,
    queue: Vec<Delivery>,
    /// Endpoints that have not answered yet: each gets one event after the other.
    busy: HashSet<String>,
    random: u64,
}

#[derive(Clone, Debug)]
struct Delivery {
    event: String,
    endpoint: String,
    copies: u32,
    tries: usize,
    /// `None` while it is held.
    due: Option<Instant>,
}

/// What is sent, with all that sending needs.
struct Letter {
    delivery: Delivery,
    url: String,
    body: String,
    signature: String,
}

impl Post {
    pub(crate) fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// Whether nothing is on its way that is not held.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.is_empty() && self.queue.iter().all(|delivery| delivery.due.is_none())
    }

    /// SplitMix64: small, and the same everywhere.
    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn reorder<T>(&mut self, things: &mut [T]) {
        match self.policy.order {
            Order::Happened => {}
            Order::Reversed => things.reverse(),
            Order::Shuffled => {
                for last in (1..things.len()).rev() {
                    let other = usize::try_from(self.draw(last as u64 + 1)).unwrap();
                    things.swap(last, other);
                }
            }
        }
    }

    fn due(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.policy.late_ms)
    }

    /// Lets held events go.
    pub(crate) fn release(&mut self) {
        let (mut held, going): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|delivery| delivery.due.is_none());
        self.reorder(&mut held);
        self.queue = going;
        let due = Some(self.due());
        self.queue.extend(held.into_iter().map(|delivery| Delivery { due, ..delivery }));
    }

    /// The copies of one delivery came back.
    fn came_back(&mut self, delivery: Delivery, attempts: Vec<Attempt>, again: &[Duration]) {
        self.busy.remove(&delivery.endpoint);
        let agreed =
            attempts.iter().all(|attempt| attempt.status.is_some_and(|status| (200..300).contains(&status)));
        self.attempts.extend(attempts);
        if let (false, Some(wait)) = (agreed, again.get(delivery.tries)) {
            let tries = delivery.tries + 1;
            self.queue.push(Delivery { copies: 1, tries, due: Some(Instant::now() + *wait), ..delivery });
        }
    }
}

impl State {
    /// Makes deliveries of what happened since the last time.
    pub(crate) fn post_events(&mut self) {
        let policy = self.post.policy;
        let mut events: Vec<_> =
            self.events.iter().skip(self.post.told).map(|event| event.id.clone()).collect();
        self.post.told = self.events.len();
        if !policy.hold {
            self.post.reorder(&mut events);
        }
        for event in events {
            for (endpoint, kind) in self.wanting(&event) {
                if self.post.draw(100) < u64::from(policy.lose_percent) {
                    let (event, error) = (event.clone(), Some("lost".to_owned()));
                    self.post.attempts.push(Attempt { event, kind, endpoint, status: None, error });
                    continue;
                }
                let due = (!policy.hold).then(|| self.post.due());
                let copies = policy.copies;
                self.post.queue.push(Delivery { event: event.clone(), endpoint, copies, tries: 0, due });
            }
        }
    }

    /// Sends an event now, whatever the policy says and whether or not it was sent before.
    pub(crate) fn deliver(&mut self, event: &str) -> Answer<()> {
        self.events.find(event)?;
        for (endpoint, _) in self.wanting(event) {
            let due = Some(Instant::now());
            let delivery = Delivery { event: event.to_owned(), endpoint, copies: 1, tries: 0, due };
            self.post.queue.insert(0, delivery);
        }
        Ok(())
    }

    /// The endpoints that want an event, and its type.
    fn wanting(&self, event: &str) -> Vec<(String, String)> {
        let kind = self.events.get(event).kind;
        let endpoints = self.endpoints.iter().filter(|endpoint| endpoint.wants(kind));
        endpoints.map(|endpoint| (endpoint.id.clone(), kind.to_owned())).collect()
    }

    /// The next letter that may go, and otherwise when to look again.
    fn next_letter(&mut self) -> Result<Letter, Option<Instant>> {
        let (endpoints, busy, now) = (&self.endpoints, &self.post.busy, Instant::now());
        self.post.queue.retain(|delivery| endpoints.find(&delivery.endpoint).is_ok());
        let free = |delivery: &Delivery| !busy.contains(&delivery.endpoint);
        let queue = &self.post.queue;
        let place =
            queue.iter().position(|delivery| free(delivery) && delivery.due.is_some_and(|due| due <= now));
        let Some(place) = place else {
            return Err(queue
                .iter()
                .filter(|delivery| free(delivery))
                .filter_map(|delivery| delivery.due)
                .min());
        };
        let delivery = self.post.queue.remove(place);
        self.post.busy.insert(delivery.endpoint.clone());
        let endpoint = self.endpoints.get(&delivery.endpoint);
        let body = self.events.get(&delivery.event).body(endpoint.payload).to_string();
        // By the machine's clock, not the fake's: receivers compare it with their own.
        let at = chrono::Utc::now().timestamp() - self.post.policy.signature_age;
        let signature = signature(&endpoint.secret, at, &body);
        Ok(Letter { url: endpoint.url.clone(), body, signature, delivery })
    }

    fn attempt_of(&self, delivery: &Delivery, answer: Result<u16, String>) -> Attempt {
        let kind = self.events.get(&delivery.event).kind.to_owned();
        let (event, endpoint) = (delivery.event.clone(), delivery.endpoint.clone());
        Attempt { event, kind, endpoint, status: answer.as_ref().ok().copied(), error: answer.err() }
    }
}

/// The value of `Stripe-Signature` for a body that was signed at a Unix time.
pub fn signature(secret: &str, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Takes events from the state and sends them, until the fake stops.
pub(crate) async fn deliver_all(shared: Arc<Shared>) {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.timeout(PATIENCE).build().unwrap();
    // At most one for each endpoint.
    let mut under_way = JoinSet::new();
    loop {
        let next = shared.look(State::next_letter);
        let again = match next {
            Ok(letter) => {
                under_way.spawn(send(client.clone(), letter));
                continue;
            }
            Err(again) => again,
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.work.notified() => {}
            () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
            Some(done) = under_way.join_next() => {
                let (delivery, answers): (Delivery, Vec<_>) = done.unwrap();
                shared.look(|state| {
                    let attempts = answers.into_iter().map(|answer| state.attempt_of(&delivery, answer)).collect();
                    let again = state.settings.redelivery.clone();
                    state.post.came_back(delivery, attempts, &again);
                });
            }
        }
    }
}

/// Sends all copies at the same time.
async fn send(client: reqwest::Client, letter: Letter) -> (Delivery, Vec<Result<u16, String>>) {
    let mut copies = JoinSet::new();
    for _ in 0..letter.delivery.copies {
        let request = client
            .post(&letter.url)
            .header("Content-Type", "application/json; charset=utf-8")
            .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
            .header("Stripe-Signature", &letter.signature)
            .body(letter.body.clone());
        copies.spawn(async move {
            let answer = request.send().await;
            answer.map(|answer| answer.status().as_u16()).map_err(|error| format!("{error:?}"))
        });
    }
    (letter.delivery, copies.join_all().await)
}

/// How long a receiver may take. Stripe does not say how long it waits; this is long for a test.
const PATIENCE: Duration = Duration::from_secs(10);
