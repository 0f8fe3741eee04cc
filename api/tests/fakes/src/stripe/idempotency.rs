//! Answers that are kept under a key, so that a request that is sent twice happens once.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

use super::clock::DAY;
use super::errors::{Answer, StripeError};

#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Kept>);

#[derive(Debug)]
struct Kept {
    /// The request: another one with this key is a mistake.
    request: String,
    at: i64,
    /// Until then the first request is still being answered, so to say: by the machine's clock, as its client waits.
    busy_until: Option<Instant>,
    answer: Option<(u16, Value)>,
}

impl Keys {
    /// The answer that was given before, if there was one.
    pub(crate) fn replay(&mut self, key: &str, request: &str, now: i64) -> Answer<Option<(u16, Value)>> {
        self.0.retain(|_, kept| now - kept.at < DAY);
        let Some(kept) = self.0.get(key) else { return Ok(None) };
        let refusal = |status, kind, code, message: &str| StripeError {
            status,
            kind,
            code,
            ..StripeError::invalid(message)
        };
        if kept.request != request {
            let message = format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{key}' if you meant to execute a different request."
            );
            return Err(refusal(400, "idempotency_error", None, &message));
        }
        if kept.busy_until.is_some_and(|until| Instant::now() < until) {
            let message = "There is currently another in-progress request using this idempotency key.";
            return Err(refusal(409, "idempotency_error", Some("idempotency_key_in_use"), message));
        }
        Ok(kept.answer.clone())
    }

    /// Keeps an answer. One that is nothing leaves the key free once its request is over.
    pub(crate) fn keep(
        &mut self,
        key: &str,
        request: &str,
        now: i64,
        busy_until: Option<Instant>,
        answer: Option<(u16, Value)>,
    ) {
        if answer.is_some() || busy_until.is_some() {
            let kept = Kept { request: request.to_owned(), at: now, busy_until, answer };
            self.0.insert(key.to_owned(), kept);
        }
    }
}
