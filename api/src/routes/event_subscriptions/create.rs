//! `POST /api/event-subscriptions`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use garde::Validate;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::EventSubscriptions;
use crate::auth::Caller;
use crate::client::Client;
use crate::error::Error;
use crate::event_subscriptions::{
    Callback, EventSubscription, EventType, MAX_CALLBACK, NewEventSubscription,
};
use crate::input::{FieldError, InputError};
use crate::json::Checked;
use crate::limits::Target;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewEventSubscription)]
pub(crate) struct Wanted {
    /// Where messages are sent: https, port 443, a public address.
    #[garde(length(bytes, max = MAX_CALLBACK))]
    #[schema(format = "uri", max_length = 500, example = "https://bot.example/hooks")]
    callback: String,
    /// What is told.
    #[garde(length(min = 1, max = MOST_TYPES))]
    #[schema(min_items = 1, max_items = 20)]
    types: Vec<EventType>,
    /// Messages are signed with it: 10 to 100 characters, ASCII without spaces. Nobody is shown it again.
    #[garde(custom(is_secret))]
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 100, pattern = "^[!-~]{10,100}$", example = "a-long-random-text")]
    secret: SecretString,
    #[serde(default)]
    #[garde(skip)]
    condition: WantedCondition,
}

/// Whose events.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewEventCondition)]
pub(crate) struct WantedCondition {
    /// A channel's; the caller's own where nothing is said.
    streamer_id: Option<Uuid>,
}

fn is_secret(secret: &SecretString, (): &()) -> garde::Result {
    let text = secret.expose_secret();
    if (10..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(garde::Error::new("10 to 100 letters, digits and signs of ASCII, without spaces"))
    }
}

/// Has a server told what happens in a channel. The server is asked to repeat a challenge first; `status` says what came of it. Other
/// channels' `new_follower` is nobody else's business.
#[utoipa::path(
    post, path = "/api/event-subscriptions", security(("user" = [])),
    request_body = Wanted,
    responses(
        (status = 202, body = EventSubscription, headers(("Location"))),
        (status = 403, description = "forbidden"),
        (status = 409, description = "too_many"),
    ),
)]
pub(crate) async fn create(
    State(parts): State<Arc<EventSubscriptions>>,
    caller: Caller,
    client: Client,
    Checked(wanted): Checked<Wanted>,
) -> Result<Response, Error> {
    // Each of them makes us ask a stranger's server.
    client.limit_attempts(Target::Act("event-subscription")).await?;
    let callback = Callback::parse(&wanted.callback, parts.targets.hosts())
        .map_err(|expected| InputError::Invalid(vec![FieldError::new("/callback", "invalid", expected)]))?;
    let streamer = wanted.condition.streamer_id.unwrap_or(caller.user);
    let new = NewEventSubscription { callback, types: wanted.types, secret: wanted.secret, streamer };
    let made = new.make(&parts.database, &parts.seals, caller).await?;
    let location = format!("/api/event-subscriptions/{}", made.id());
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(made)).into_response())
}

/// More than there are, so that a client may name one twice.
const MOST_TYPES: usize = 20;
