//! Jobs that ask a callback: whether it wants to be told, and each message.

use chrono::Utc;
use rand::Rng as _;
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgPool;
use thiserror::Error;
use uuid::Uuid;

use super::callback::Callback;
use super::event::Event;
use super::message::{Message, MessageKind};
use super::schedule::pause;
use super::subscription::place;
use super::targets::{Answer, NoAnswer};
use crate::app::EventSubscriptions;
use crate::error::Error;
use crate::outbox::{Attempt, Outcome};

/// Asks a callback to repeat a challenge, once: whoever could not answer subscribes again.
pub(crate) async fn verify(
    parts: &EventSubscriptions,
    attempt: Attempt,
    subscription: Uuid,
) -> Result<Outcome, Error> {
    let Some(subscriber) = Subscriber::find(&parts.database, subscription, "pending").await? else {
        return Ok(Outcome::Done);
    };
    let challenge = challenge();
    let body = json!({
        "challenge": challenge,
        "subscription": {
            "id": subscription,
            "types": subscriber.types,
            "condition": { "streamerId": subscriber.streamer_id },
        },
    });
    let asked = subscriber.ask(parts, attempt, MessageKind::Verification, &body).await;
    let outcome = asked.and_then(|answer| repeats(&answer, &challenge));
    parts.metrics.webhook(match &outcome {
        Ok(()) => "verified",
        Err(failure) => failure.word(),
    });
    let failure = outcome.err().map(|failure| failure.to_string());
    sqlx::query!(
        r#"update event_subscriptions
           set status = case when $2::text is null then 'enabled' else 'verification_failed' end, changed_at = now(),
               last_failure = left($2, 300), last_failure_at = case when $2 is not null then now() end
           where id = $1 and status = 'pending'"#,
        subscription,
        failure
    )
    .execute(&parts.database)
    .await?;
    Ok(Outcome::Done)
}

/// Sends a message, and has it sent again later if it does not arrive.
pub(crate) async fn deliver(
    parts: &EventSubscriptions,
    attempt: Attempt,
    subscription: Uuid,
    event: &Event,
) -> Result<Outcome, Error> {
    let database = &parts.database;
    let Some(subscriber) = Subscriber::find(database, subscription, "enabled").await? else {
        return Ok(Outcome::Done);
    };
    let Some(data) = event.data(database).await? else { return Ok(Outcome::Done) };
    let body = json!({
        "subscription": {
            "id": subscription,
            "type": event.kind(),
            "condition": { "streamerId": subscriber.streamer_id },
        },
        "event": data,
    });
    let asked = subscriber.ask(parts, attempt, MessageKind::Notification, &body).await;
    let Err(failure) = asked.and_then(|answer| accepts(&answer)) else {
        parts.metrics.webhook("delivered");
        sqlx::query!(
            "update event_subscriptions set failing_since = null where id = $1 and failing_since is not null",
            subscription
        )
        .execute(database)
        .await?;
        return Ok(Outcome::Done);
    };
    parts.metrics.webhook(failure.word());
    let again = if failure.is_final() { None } else { pause(attempt.number, rand::random()) };
    if again.is_none() && !failure.is_final() {
        parts.metrics.webhook("given_up");
    }
    let reason = failure.to_string();
    record(database, subscription, &failure, again.is_none()).await?;
    Ok(match again {
        Some(pause) => Outcome::Again { pause, reason },
        None => Outcome::Done,
    })
}

/// Writes down that a message did not arrive. The subscription ends with a failure that is final, and when a message was given up
/// though none had arrived for days.
async fn record(
    database: &PgPool,
    subscription: Uuid,
    failure: &Failure,
    given_up: bool,
) -> Result<(), Error> {
    let ended = sqlx::query_scalar!(
        r#"update event_subscriptions
           set failing_since = coalesce(failing_since, now()), last_failure = left($2, 300), last_failure_at = now(),
               status = case when $3 or ($4 and failing_since < now() - make_interval(days => $5))
                             then 'notification_failures_exceeded' else status end,
               changed_at = case when $3 or ($4 and failing_since < now() - make_interval(days => $5))
                                 then now() else changed_at end
           where id = $1 and status = 'enabled'
           returning status = 'notification_failures_exceeded' as "ended!""#,
        subscription,
        failure.to_string(),
        failure.is_final(),
        given_up,
        PATIENCE_DAYS
    );
    if ended.fetch_optional(database).await? == Some(true) {
        tracing::info!(%subscription, reason = failure.word(), "an event subscription ends, because its callback does not take messages");
    }
    Ok(())
}

/// Somebody who is to be asked.
struct Subscriber {
    id: Uuid,
    streamer_id: Uuid,
    callback: String,
    types: Vec<String>,
    secret_enc: Vec<u8>,
    secret_kid: String,
}

impl Subscriber {
    /// None of a subscription that has another status or is gone, or whose owner is.
    async fn find(database: &PgPool, id: Uuid, status: &str) -> Result<Option<Self>, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select e.id, e.streamer_id, e.callback, e.types, e.secret_enc, e.secret_kid
               from event_subscriptions e
               join users u on u.id = e.user_id and u.banned_at is null and u.deleted_at is null
               where e.id = $1 and e.status = $2"#,
            id,
            status
        );
        Ok(found.fetch_optional(database).await?)
    }

    async fn ask(
        &self,
        parts: &EventSubscriptions,
        attempt: Attempt,
        kind: MessageKind,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let callback = Callback::parse(&self.callback, parts.targets.hosts()).map_err(Failure::NotAllowed)?;
        let secret = parts.seals.open(&place(self.id), &self.secret_enc, &self.secret_kid).map_err(|why| {
            tracing::warn!(subscription = %self.id, kid = self.secret_kid, why, "the secret of an event subscription cannot be read");
            Failure::SecretUnreadable
        })?;
        let message = Message { id: attempt.job, sent_at: Utc::now(), kind, attempt: attempt.number, body };
        let signed = message.signed(&SecretString::from(secret));
        let answer = parts.targets.post(&callback, signed).await;
        if let Err(error) = &answer {
            tracing::debug!(subscription = %self.id, host = callback.host(), %error, "a webhook is not answered");
        }
        Ok(answer?)
    }
}

/// Why a message did not arrive, in words for the owner of the callback.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("it answered {0}: there is nobody any more who wants to hear this")]
    Gone(StatusCode),
    #[error("it did not answer with the challenge alone")]
    WrongChallenge,
    #[error("the address is not allowed any more; expected: {0}")]
    NotAllowed(&'static str),
    #[error(
        "the server's secret was changed or lost, and the one of this subscription with it; subscribe again"
    )]
    SecretUnreadable,
}

impl Failure {
    /// Whether trying again is in vain.
    fn is_final(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::SecretUnreadable)
    }

    /// In metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::NoAnswer(NoAnswer::NotPublic) | Self::NotAllowed(_) => "not_public",
            Self::NoAnswer(NoAnswer::TimedOut(_)) => "timed_out",
            Self::NoAnswer(NoAnswer::Unreachable(_)) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Gone(_) => "gone",
            Self::WrongChallenge => "wrong_challenge",
            Self::SecretUnreadable => "unreadable",
        }
    }
}

fn accepts(answer: &Answer) -> Result<(), Failure> {
    match answer.status {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err(Failure::Gone(answer.status)),
        status => Err(Failure::Refused(status)),
    }
}

fn repeats(answer: &Answer, challenge: &str) -> Result<(), Failure> {
    accepts(answer)?;
    let body = answer.body.as_deref().unwrap_or_default();
    // Many servers end a text with a line break.
    if body.trim_ascii() == challenge.as_bytes() { Ok(()) } else { Err(Failure::WrongChallenge) }
}

/// What nobody guesses who does not read the request.
fn challenge() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Without one message that arrives.
const PATIENCE_DAYS: i32 = 3;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, body: Option<&'static str>) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, body: body.map(|body| Bytes::from_static(body.as_bytes())) }
    }

    #[test]
    fn an_answer_means_what_its_status_and_its_text_say() {
        for (status, body, word) in [
            (200, Some("abc"), None),
            (204, None, Some("wrong_challenge")),
            (201, Some("abc\r\n"), None),
            (200, Some("abcd"), Some("wrong_challenge")),
            (200, Some("\"abc\""), Some("wrong_challenge")),
            (200, None, Some("wrong_challenge")),
            (302, Some("abc"), Some("refused")),
            (404, Some("abc"), Some("refused")),
            (410, Some("abc"), Some("gone")),
            (500, Some("abc"), Some("refused")),
        ] {
            let outcome = repeats(&answer(status, body), "abc");
            assert_eq!(outcome.err().map(|failure| failure.word()), word, "{status} {body:?}");
        }
        assert!(accepts(&answer(299, None)).is_ok());
    }

    #[test]
    fn only_what_cannot_change_is_final() {
        for (failure, is_final) in [
            (Failure::Gone(StatusCode::GONE), true),
            (Failure::SecretUnreadable, true),
            (Failure::Refused(StatusCode::NOT_FOUND), false),
            (Failure::NotAllowed("https alone"), false),
            (Failure::NoAnswer(NoAnswer::NotPublic), false),
        ] {
            assert_eq!(failure.is_final(), is_final, "{failure}");
        }
    }
}
