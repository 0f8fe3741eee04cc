//! A fake of Stripe's API, with the people who pay, their banks, and the dashboard.

mod account;
mod checkout;
mod clock;
mod collection;
mod control;
mod customers;
mod delivery;
mod disputes;
mod endpoints;
mod errors;
mod events;
mod faults;
mod foreign;
mod form;
mod idempotency;
mod invoices;
mod pages;
mod payments;
mod price_changes;
mod prices;
mod refunds;
mod renewals;
mod routes;
mod schedules;
mod server;
mod shelf;
mod state;
mod subscriptions;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use control::Command;
use server::Shared;
use state::State;

pub use delivery::{Attempt, Order, Policy, signature};
pub use disputes::{Opening, Verdict};
pub use endpoints::Payload;
pub use faults::Fault;
pub use foreign::Mode;
pub use payments::{Card, Outcome};
pub use server::Recorded;
pub use subscriptions::Cancel;

/// The only version of the API that is spoken here.
pub const STRIPE_VERSION: &str = "2026-08-26.dahlia";

/// What is decided before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// On the loopback interface; 0 for any that is free.
    pub port: u16,
    /// The only secret key that may come in.
    pub key: String,
    /// Signs the events of every endpoint, so that a server can be told of it before it starts.
    pub webhook_secret: String,
    /// Days from each failed payment of a renewal to the next attempt.
    pub retry_days: Vec<u32>,
    /// What follows the last of them.
    pub after_retries: AfterRetries,
    /// How long after each unanswered or refused delivery an event is sent again.
    pub redelivery: Vec<Duration>,
    /// Decides what is lost and what is shuffled.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 0,
            key: "sk_test_fake".to_owned(),
            webhook_secret: "whsec_fake".to_owned(),
            retry_days: vec![3, 5, 7],
            after_retries: AfterRetries::Cancel,
            // Stripe tries for three days. A test would rather not.
            redelivery: [50, 200, 1000].map(Duration::from_millis).to_vec(),
            seed: 1,
        }
    }
}

/// What an account's settings say about a subscription whose renewal could not be paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterRetries {
    /// It is cancelled.
    #[default]
    Cancel,
    /// It goes on, and its invoices are no longer collected.
    Unpaid,
    /// It stays past due.
    PastDue,
}

/// A running fake. It stops when it is dropped.
///
/// What goes wrong in a method that names an object which is not there, or not in the state for it, ends the test.
pub struct FakeStripe {
    /// Where its API and its pages are, without a slash at the end.
    pub url: String,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl FakeStripe {
    /// Listens on the loopback interface.
    pub async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let mut state = State { base: url.clone(), ..State::default() };
        state.post.seed(settings.seed);
        state.settings = settings;
        let shared = Arc::new(Shared::new(state, stop.clone()));
        // Both end with the token, and nothing outlives the runtime of the test that holds it.
        tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        tokio::spawn(delivery::deliver_all(Arc::clone(&shared)));
        Self { url, shared, _stop: stop.drop_guard() }
    }

    /// The fake's time, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.shared.look(|state| state.now())
    }

    /// Moves the fake's clock, and makes everything happen in between at its time.
    pub fn advance(&self, by: Duration) {
        self.run(Command::Advance { seconds: i64::try_from(by.as_secs()).unwrap() });
    }

    /// Moves the fake's clock to a Unix time.
    pub fn advance_to(&self, time: i64) {
        self.run(Command::AdvanceTo { time });
    }

    /// A person pays at the checkout.
    pub fn pay(&self, session: &str, card: Card) -> Outcome {
        self.shared.with(|state| state.pay_session(session, card)).unwrap()
    }

    /// The bank sees the card's owner. The card asks no more until a test changes it.
    pub fn authenticate(&self, payment_intent: &str) -> Outcome {
        self.shared.with(|state| state.answer_3ds(payment_intent, true)).unwrap()
    }

    /// The bank does not see the card's owner.
    pub fn fail_authentication(&self, payment_intent: &str) -> Outcome {
        self.shared.with(|state| state.answer_3ds(payment_intent, false)).unwrap()
    }

    /// The result of a payment with [`Card::Delayed`]: [`Card::Ok`] or [`Card::Declined`].
    pub fn settle_delayed(&self, session: &str, card: Card) {
        self.run(Command::SettleDelayed { session: session.to_owned(), card });
    }

    /// A person pays on the invoice's page. A card that paid is the customer's from now on.
    pub fn pay_invoice(&self, invoice: &str, card: Card) -> Outcome {
        self.shared.with(|state| state.pay_invoice(invoice, Some(card))).unwrap()
    }

    /// Somebody at the dashboard voids it.
    pub fn void_invoice(&self, invoice: &str) {
        self.run(Command::VoidInvoice { invoice: invoice.to_owned() });
    }

    /// Changes what the customer's card does from now on.
    pub fn set_card(&self, customer: &str, card: Card) {
        self.run(Command::Card { customer: customer.to_owned(), card });
    }

    /// Somebody at the dashboard gives money back: an amount, or what is left. `of` is a charge or a payment intent.
    pub fn refund(&self, of: &str, amount: Option<i64>) -> Value {
        self.run(Command::Refund { of: of.to_owned(), amount })
    }

    /// The bank sends a refund back.
    pub fn fail_refund(&self, refund: &str) {
        self.run(Command::FailRefund { refund: refund.to_owned() });
    }

    /// The card's owner complains. `of` is a charge or a payment intent.
    pub fn open_dispute(&self, of: &str, opening: Opening) -> Value {
        self.run(Command::OpenDispute { of: of.to_owned(), opening })
    }

    /// The bank looks at a dispute, or decides it.
    pub fn move_dispute(&self, dispute: &str, verdict: Verdict) {
        self.run(Command::MoveDispute { dispute: dispute.to_owned(), verdict });
    }

    /// Somebody at the dashboard, or the customer in the portal, ends a subscription.
    pub fn cancel(&self, subscription: &str, cancel: Cancel) {
        self.run(Command::Cancel { subscription: subscription.to_owned(), cancel });
    }

    /// Makes an endpoint at the dashboard that is told everything.
    pub fn add_endpoint(&self, url: &str, payload: Payload) -> Value {
        self.run(Command::Endpoint { url: url.to_owned(), payload, enabled_events: None })
    }

    /// Changes how events go out from now on. What is held stays held.
    pub fn set_policy(&self, policy: Policy) {
        self.run(Command::Policy(policy));
    }

    /// Lets held events go, in the order of the present policy.
    pub fn deliver_pending(&self) {
        self.run(Command::DeliverPending {});
    }

    /// Sends an event now, whatever the policy says and whether or not it was sent before.
    pub fn deliver(&self, event: &str) {
        self.run(Command::Deliver { event: event.to_owned() });
    }

    /// Waits until no event is on its way, held ones aside.
    pub async fn delivered(&self) {
        assert!(self.shared.is_delivered().await, "still on their way after {:?}", self.attempts());
    }

    /// Every event that was sent or lost, in that order.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.shared.look(|state| state.post.attempts.clone())
    }

    /// Every request that the API got.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.look(|state| state.requests.clone())
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.run(Command::ClearRequests {});
    }

    /// Lets the next requests fail that begin in a way, such as `POST /v1/refunds`; all of them where it is empty.
    pub fn fail(&self, count: usize, fault: Fault, requests: &str) {
        self.run(Command::Fail { count, fault, requests: requests.to_owned() });
    }

    /// Takes back the failures that have not come yet.
    pub fn clear_faults(&self) {
        self.run(Command::ClearFaults {});
    }

    /// Makes a subscription of somebody else's product on the same account, without metadata.
    pub fn foreign_subscription(&self, mode: Mode) -> Value {
        self.run(Command::Foreign { mode })
    }

    /// An object as the API answers it.
    pub fn object(&self, id: &str) -> Value {
        self.shared.with(|state| state.object(id)).unwrap()
    }

    /// Every object of a kind, the oldest first: `checkout_sessions`, `subscriptions`, `invoices`, `charges`, `events` and so on.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.shared.with(|state| state.objects(kind)).unwrap_or_else(|| panic!("no objects named {kind}"))
    }

    fn run(&self, command: Command) -> Value {
        self.shared.with(|state| command.run(state)).unwrap()
    }
}
