//! Who is told of events.

use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::{Answer, StripeError};
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

/// The two shapes of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// With the object in it.
    #[default]
    Snapshot,
    /// With the object's id only.
    Thin,
}

impl Payload {
    fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Thin => "thin",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    created: i64,
    pub(crate) url: String,
    enabled_events: Vec<String>,
    metadata: Metadata,
    api_version: Option<String>,
    pub(crate) secret: String,
    pub(crate) payload: Payload,
}

impl Endpoint {
    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.enabled_events
            .iter()
            .any(|enabled| enabled == "*" || enabled == kind || enabled.strip_prefix("v1.") == Some(kind))
    }
}

impl Stored for Endpoint {
    const KIND: &'static str = "webhook_endpoint";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        json!({
            "id": self.id,
            "object": "webhook_endpoint",
            "api_version": self.api_version,
            "application": null,
            "created": self.created,
            "description": null,
            "enabled_events": self.enabled_events,
            "event_payload": self.payload.name(),
            "livemode": false,
            "metadata": self.metadata,
            "status": "enabled",
            "url": self.url,
        })
    }
}

impl State {
    /// An endpoint that was made at the dashboard.
    pub(crate) fn add_endpoint(
        &mut self,
        url: &str,
        payload: Payload,
        enabled_events: Vec<String>,
    ) -> String {
        let id = new_id("we");
        self.endpoints.put(Endpoint {
            id: id.clone(),
            created: self.now(),
            url: url.to_owned(),
            enabled_events,
            metadata: Metadata::new(),
            api_version: None,
            secret: self.settings.webhook_secret.clone(),
            payload,
        });
        id
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/v1/webhook_endpoints",
        takes: &["url", "enabled_events[]", "api_version", "description", "metadata[*]"],
        act: create,
    },
    Route {
        method: "GET",
        path: "/v1/webhook_endpoints",
        takes: &["limit"],
        act: |state, call| state.endpoints.page(state, call.params, "/v1/webhook_endpoints", |_| true),
    },
    Route {
        method: "GET",
        path: "/v1/webhook_endpoints/{id}",
        takes: &[],
        act: |state, call| Ok(state.endpoints.find(call.id)?.json(state)),
    },
    Route {
        method: "DELETE",
        path: "/v1/webhook_endpoints/{id}",
        takes: &[],
        act: |state, call| {
            state.endpoints.find(call.id)?;
            state.endpoints.remove(call.id);
            Ok(json!({ "id": call.id, "object": "webhook_endpoint", "deleted": true }))
        },
    },
];

fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let url = params.required("url")?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(StripeError::invalid("Invalid URL").code("url_invalid").param("url"));
    }
    let enabled: Vec<_> = params.list("enabled_events").into_iter().map(str::to_owned).collect();
    if enabled.is_empty() {
        return Err(StripeError::missing_parameter("enabled_events"));
    }
    let metadata = params.metadata("metadata")?;
    let id = state.add_endpoint(url, Payload::Snapshot, enabled);
    let endpoint = state.endpoints.get_mut(&id);
    endpoint.metadata = metadata;
    endpoint.api_version = params.text("api_version").map(str::to_owned);
    // Only the answer to its creation has the secret.
    let secret = json!(endpoint.secret);
    let mut answer = state.object(&id)?;
    answer["secret"] = secret;
    Ok(answer)
}
