//! What happened, as Stripe tells it.

use serde_json::{Value, json};

use super::clock::date;
use super::endpoints::Payload;
use super::routes::Route;
use super::shelf::Stored;
use super::state::{State, new_id};

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    created: i64,
    pub(crate) kind: &'static str,
    pub(crate) livemode: bool,
    /// The object as it was then.
    pub(crate) object: Value,
}

impl Event {
    /// What an endpoint is sent.
    pub(crate) fn body(&self, payload: Payload) -> Value {
        match payload {
            Payload::Snapshot => json!({
                "id": self.id,
                "object": "event",
                "api_version": super::STRIPE_VERSION,
                "created": self.created,
                "data": { "object": self.object },
                "livemode": self.livemode,
                "pending_webhooks": 1,
                "request": { "id": null, "idempotency_key": null },
                "type": self.kind,
            }),
            Payload::Thin => {
                let (id, kind) = (&self.object["id"], &self.object["object"]);
                let url = path_of(kind.as_str().unwrap(), id.as_str().unwrap());
                json!({
                    "id": self.id,
                    "object": "v2.core.event",
                    "context": null,
                    // The newer API writes times as text.
                    "created": date(self.created).format("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
                    "livemode": self.livemode,
                    "reason": null,
                    "related_object": { "id": id, "type": kind, "url": url },
                    "type": format!("v1.{}", self.kind),
                })
            }
        }
    }
}

impl Stored for Event {
    const KIND: &'static str = "event";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        self.body(Payload::Snapshot)
    }
}

impl State {
    /// Tells of an object as it is now. The event goes out when whoever holds the state is done with it.
    pub(crate) fn emit(&mut self, kind: &'static str, id: &str) {
        let object = self.object(id).unwrap();
        let created = self.now();
        self.events.put(Event { id: new_id("evt"), created, kind, livemode: false, object });
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/v1/events/{id}",
        takes: &[],
        act: |state, call| Ok(state.events.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/events",
        takes: &["type", "types[]", "limit"],
        act: |state, call| {
            let (kind, kinds) = (call.params.text("type"), call.params.list("types"));
            // A test key does not see what happened in live mode.
            state.events.page(state, call.params, "/v1/events", |event| {
                !event.livemode
                    && kind.is_none_or(|kind| event.kind == kind)
                    && (kinds.is_empty() || kinds.contains(&event.kind))
            })
        },
    },
];

/// Where an object of a kind is read.
fn path_of(kind: &str, id: &str) -> String {
    let folder = match kind {
        "checkout.session" => "checkout/sessions".to_owned(),
        other => format!("{other}s"),
    };
    format!("/v1/{folder}/{id}")
}
