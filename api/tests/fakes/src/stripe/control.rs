//! What a test does to the fake: the same commands from Rust and, as JSON, from anywhere.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::delivery::Policy;
use super::disputes::{Opening, Verdict};
use super::endpoints::Payload;
use super::errors::{Answer, StripeError};
use super::faults::Fault;
use super::foreign::Mode;
use super::payments::Card;
use super::server::Shared;
use super::shelf::Metadata;
use super::state::State;
use super::subscriptions::Cancel;

/// `POST /_control/{name}`, with the fields as its JSON body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Command {
    /// A person pays at the checkout.
    Pay {
        session: String,
        card: Card,
    },
    /// The bank sees the card's owner, or does not.
    #[serde(rename = "3ds")]
    ThreeDs {
        payment_intent: String,
        authenticated: bool,
    },
    /// The result of a delayed payment at the checkout: `ok` or `declined`.
    SettleDelayed {
        session: String,
        card: Card,
    },
    /// A person pays on the invoice's page.
    PayInvoice {
        invoice: String,
        card: Card,
    },
    VoidInvoice {
        invoice: String,
    },
    /// Changes what the customer's card does from now on.
    Card {
        customer: String,
        card: Card,
    },
    Advance {
        seconds: i64,
    },
    AdvanceTo {
        time: i64,
    },
    /// `of` is a charge or a payment intent. Without an amount, what is left.
    Refund {
        of: String,
        amount: Option<i64>,
    },
    FailRefund {
        refund: String,
    },
    OpenDispute {
        of: String,
        opening: Opening,
    },
    MoveDispute {
        dispute: String,
        verdict: Verdict,
    },
    /// At the dashboard.
    Cancel {
        subscription: String,
        cancel: Cancel,
    },
    /// An endpoint that was made at the dashboard.
    Endpoint {
        url: String,
        #[serde(default)]
        payload: Payload,
        enabled_events: Option<Vec<String>>,
    },
    Policy(Policy),
    DeliverPending {},
    Deliver {
        event: String,
    },
    /// `requests` is how the requests begin that fail, `POST /v1/refunds` for example; empty for all.
    Fail {
        count: usize,
        fault: Fault,
        #[serde(default)]
        requests: String,
    },
    ClearFaults {},
    ClearRequests {},
    Foreign {
        mode: Mode,
    },
}

impl Command {
    pub(crate) fn run(self, state: &mut State) -> Answer {
        match self {
            Self::Pay { session, card } => Ok(json!({ "outcome": state.pay_session(&session, card)? })),
            Self::ThreeDs { payment_intent, authenticated } => {
                Ok(json!({ "outcome": state.answer_3ds(&payment_intent, authenticated)? }))
            }
            Self::SettleDelayed { session, card } => done(state.settle_delayed(&session, card)),
            Self::PayInvoice { invoice, card } => {
                Ok(json!({ "outcome": state.pay_invoice(&invoice, Some(card))? }))
            }
            Self::VoidInvoice { invoice } => done(state.void_invoice(&invoice)),
            Self::Card { customer, card } => done(state.set_card(&customer, card)),
            Self::Advance { seconds } if seconds < 0 => Err(back()),
            Self::Advance { seconds } => {
                state.advance(seconds);
                Ok(json!({ "now": state.now() }))
            }
            Self::AdvanceTo { time } if time < state.now() => Err(back()),
            Self::AdvanceTo { time } => {
                state.advance(time - state.now());
                Ok(json!({ "now": state.now() }))
            }
            Self::Refund { of, amount } => {
                let id = state.refund(&of, amount, None, Metadata::new())?;
                state.object(&id)
            }
            Self::FailRefund { refund } => done(state.fail_refund(&refund)),
            Self::OpenDispute { of, opening } => {
                let id = state.open_dispute(&of, opening)?;
                state.object(&id)
            }
            Self::MoveDispute { dispute, verdict } => done(state.move_dispute(&dispute, verdict)),
            Self::Cancel { subscription, cancel } => done(state.cancel(&subscription, cancel)),
            Self::Endpoint { url, payload, enabled_events } => {
                let enabled = enabled_events.unwrap_or_else(|| vec!["*".to_owned()]);
                let id = state.add_endpoint(&url, payload, enabled);
                state.object(&id)
            }
            Self::Policy(policy) => {
                state.post.policy = policy;
                Ok(json!({}))
            }
            Self::DeliverPending {} => {
                state.post.release();
                Ok(json!({}))
            }
            Self::Deliver { event } => done(state.deliver(&event)),
            Self::Fail { count, fault, requests } => {
                state.faults.plan(count, fault, &requests);
                Ok(json!({}))
            }
            Self::ClearFaults {} => {
                state.faults.clear();
                Ok(json!({}))
            }
            Self::ClearRequests {} => {
                state.requests.clear();
                Ok(json!({}))
            }
            Self::Foreign { mode } => Ok(state.foreign_subscription(mode)),
        }
    }
}

fn done(result: Answer<()>) -> Answer {
    result.map(|()| json!({}))
}

fn back() -> StripeError {
    StripeError::invalid("Time goes forward.")
}

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_control/delivered", post(delivered))
        .route("/_control/{what}", get(read).post(run))
        .route("/_control/objects/{kind}", get(objects))
        .route("/_control/object/{id}", get(object))
}

async fn run(Extract(shared): Extract<Arc<Shared>>, Path(what): Path<String>, body: Bytes) -> Response {
    let fields = if body.is_empty() { Ok(json!({})) } else { serde_json::from_slice(&body) };
    let command = fields.and_then(|fields| serde_json::from_value::<Command>(json!({ what: fields })));
    match command {
        Ok(command) => answer(shared.with(|state| command.run(state))),
        Err(error) => answer(Err(StripeError::invalid(error.to_string()))),
    }
}

async fn read(Extract(shared): Extract<Arc<Shared>>, Path(what): Path<String>) -> Response {
    answer(shared.with(|state| match what.as_str() {
        "now" => Ok(json!({ "now": state.now() })),
        "requests" => Ok(json!(state.requests)),
        "attempts" => Ok(json!(state.post.attempts)),
        _ => Err(StripeError::no_such_path("GET", &what)),
    }))
}

async fn objects(Extract(shared): Extract<Arc<Shared>>, Path(kind): Path<String>) -> Response {
    let all = shared.with(|state| state.objects(&kind));
    answer(all.map(Value::Array).ok_or_else(|| StripeError::no_such_path("GET", &kind)))
}

async fn object(Extract(shared): Extract<Arc<Shared>>, Path(id): Path<String>) -> Response {
    answer(shared.with(|state| state.object(&id)))
}

async fn delivered(Extract(shared): Extract<Arc<Shared>>) -> Response {
    if shared.is_delivered().await {
        answer(Ok(json!({})))
    } else {
        answer(Err(StripeError::invalid("Some events are still on their way.")))
    }
}

impl Shared {
    /// Waits until nothing is on its way that is not held; false where that takes too long.
    pub(crate) async fn is_delivered(&self) -> bool {
        let waiting = async {
            while !self.look(|state| state.post.is_idle()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok()
    }
}

fn answer(result: Answer) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap();
            (status, Json(json!({ "error": error.message }))).into_response()
        }
    }
}
