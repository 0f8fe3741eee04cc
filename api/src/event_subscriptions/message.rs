//! What is sent: a body, and headers that show whose it is.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

/// One of them, at one try.
pub(super) struct Message<'a> {
    /// The same at each try.
    pub(super) id: Uuid,
    /// Of this try, so that a receiver can refuse what is old.
    pub(super) sent_at: DateTime<Utc>,
    pub(super) kind: MessageKind,
    /// The first one being 1.
    pub(super) attempt: i32,
    pub(super) body: &'a Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    /// Asks whether the callback is its owner's.
    Verification,
    Notification,
}

/// As it goes out.
pub(super) struct Signed {
    pub(super) headers: [(&'static str, String); 5],
    pub(super) body: String,
}

impl Message<'_> {
    pub(super) fn signed(&self, secret: &SecretString) -> Signed {
        let (id, timestamp) =
            (self.id.to_string(), self.sent_at.to_rfc3339_opts(SecondsFormat::Millis, true));
        let body = self.body.to_string();
        let signature = signature(secret, &id, &timestamp, &body);
        let headers = [
            ("caudal-message-id", id),
            ("caudal-message-timestamp", timestamp),
            ("caudal-message-type", self.kind.as_str().to_owned()),
            ("caudal-message-retry", self.attempt.saturating_sub(1).max(0).to_string()),
            ("caudal-message-signature", signature),
        ];
        Signed { headers, body }
    }
}

impl MessageKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "webhook_callback_verification",
            Self::Notification => "notification",
        }
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed(***)")
    }
}

fn signature(secret: &SecretString, id: &str, timestamp: &str, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        unreachable!()
    };
    for part in [id, timestamp, body] {
        mac.update(part.as_bytes());
    }
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As in docs/webhooks.md.
    #[test]
    fn a_signature_is_what_anybody_computes_who_knows_the_secret() {
        let message = Message {
            id: "0193a1b2-0000-7000-8000-000000000001".parse().unwrap(),
            sent_at: "2026-01-31T18:00:00Z".parse().unwrap(),
            kind: MessageKind::Notification,
            attempt: 2,
            body: &json!({ "ok": true }),
        };
        let signed = message.signed(&"a-secret-of-the-docs".into());
        // printf '%s' ID TIMESTAMP BODY | openssl dgst -sha256 -hmac a-secret-of-the-docs
        let signature = "sha256=05689fd900eb80482a410ddccef55bc376eacb99ec05debfe05b10ae4e73930a";
        let expected = [
            "0193a1b2-0000-7000-8000-000000000001",
            "2026-01-31T18:00:00.000Z",
            "notification",
            "1",
            signature,
        ];
        assert_eq!(signed.headers.map(|(_, value)| value), expected);
        assert_eq!(signed.body, r#"{"ok":true}"#);
        let docs = std::fs::read_to_string("../docs/webhooks.md").unwrap();
        assert!(docs.contains(signature) && expected[..2].iter().all(|value| docs.contains(value)));
    }
}
