//! Which webhooks are Stripe's, and what they are about.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;

/// Why something is not taken for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadSignature {
    /// No header, or one of another form.
    #[error("there is no signature")]
    Missing,
    /// Signed too long ago, or in the future.
    #[error("the signature is not of now")]
    Stale,
    /// By none of our secrets.
    #[error("the signature is not right")]
    Wrong,
}

/// What happened to which object. Nothing else of an event is read: it may be old by the time that it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same at each delivery.
    pub id: String,
    /// Whether money moves.
    pub livemode: bool,
    /// What it is about; none where that is nothing of ours.
    pub about: Option<About>,
}

/// An object at Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What it is.
    pub kind: Kind,
    /// By which Stripe knows it.
    pub id: String,
}

/// What leads to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page on which somebody pays.
    Checkout,
    /// A subscription itself.
    Subscription,
    /// An invoice of one.
    Invoice,
    /// What a card was charged.
    Charge,
    /// What went back.
    Refund,
    /// A bank that wants the money back.
    Dispute,
}

/// Whether `body` was signed with one of `secrets` in the last minutes (`Stripe-Signature: t=…,v1=…`).
///
/// # Errors
/// When it was not.
pub fn verify(
    header: &str,
    body: &[u8],
    secrets: &[impl AsRef<[u8]>],
    now: DateTime<Utc>,
) -> Result<(), BadSignature> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let time = parts().find(|(name, _)| *name == "t").map(|(_, time)| time).ok_or(BadSignature::Missing)?;
    let seconds: i64 = time.parse().map_err(|_| BadSignature::Missing)?;
    let given: Vec<Vec<u8>> = parts()
        .filter(|(name, _)| *name == "v1")
        .take(MOST_SIGNATURES)
        .filter_map(|(_, value)| hex::decode(value).ok())
        .collect();
    if given.is_empty() {
        return Err(BadSignature::Missing);
    }
    if now.timestamp().abs_diff(seconds) > TOLERANCE.as_secs() {
        return Err(BadSignature::Stale);
    }
    // All of them, whichever is right.
    let right = secrets.iter().fold(Choice::from(0), |right, secret| {
        let own = mac(secret.as_ref(), time, body);
        given.iter().fold(right, |right, given| right | own.as_slice().ct_eq(given))
    });
    if bool::from(right) { Ok(()) } else { Err(BadSignature::Wrong) }
}

/// The header with which Stripe would send `body`.
pub fn sign(secret: &[u8], body: &[u8], now: DateTime<Utc>) -> String {
    let time = now.timestamp().to_string();
    format!("t={time},v1={}", hex::encode(mac(secret, &time, body)))
}

fn mac(secret: &[u8], time: &str, body: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return Vec::new() };
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

impl Event {
    /// Reads a body that was verified, in either of two shapes: with the object in it, or with its name alone ("thin").
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(body: &[u8]) -> Result<Self, super::Unreadable> {
        let Envelope { id, livemode, data, related_object } = super::read(body)?;
        let about = match (data.and_then(|data| data.object), related_object) {
            (Some(Named { id: Some(id), object: Some(kind) }), _) => About::of(&kind, id),
            (_, Some(Related { id, r#type })) => About::of(&r#type, id),
            _ => None,
        };
        Ok(Self { id, livemode, about })
    }
}

impl About {
    fn of(kind: &str, id: String) -> Option<Self> {
        let kind = match kind {
            "checkout.session" => Kind::Checkout,
            "subscription" | "customer.subscription" => Kind::Subscription,
            "invoice" => Kind::Invoice,
            "charge" => Kind::Charge,
            "refund" => Kind::Refund,
            "dispute" | "charge.dispute" => Kind::Dispute,
            _ => return None,
        };
        // It becomes part of a path.
        let is_name =
            id.len() <= MOST_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then_some(Self { kind, id })
    }
}

impl Kind {
    /// In the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Subscription => "subscription",
            Self::Invoice => "invoice",
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Dispute => "dispute",
        }
    }

    /// None of what only a later version knows.
    pub fn of_column(word: &str) -> Option<Self> {
        [Self::Checkout, Self::Subscription, Self::Invoice, Self::Charge, Self::Refund, Self::Dispute]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(default)]
    livemode: bool,
    data: Option<Data>,
    related_object: Option<Related>,
}

#[derive(Deserialize)]
struct Data {
    object: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: Option<String>,
    object: Option<String>,
}

#[derive(Deserialize)]
struct Related {
    id: String,
    r#type: String,
}

/// As Stripe's own libraries have it.
const TOLERANCE: Duration = Duration::from_secs(300);
/// Stripe signs with two secrets at most, while one is changed.
const MOST_SIGNATURES: usize = 8;
/// Stripe's ids have up to 70 characters, and may have 255.
const MOST_ID: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default()
    }

    #[test]
    fn what_was_signed_with_any_of_our_secrets_just_now_is_stripes() {
        let (old, new, body) = (b"whsec_old".as_slice(), b"whsec_new".as_slice(), b"{}".as_slice());
        let both = format!(
            "{},v0=00,{}",
            sign(b"another", body, now()),
            sign(new, body, now()).rsplit_once(',').unwrap().1
        );
        for header in [sign(old, body, now()), sign(new, body, now()), both] {
            assert_eq!(verify(&header, body, &[old, new], now()), Ok(()), "{header}");
        }
    }

    #[test]
    fn anything_else_is_nobodys() {
        let (secret, body) = (b"whsec".as_slice(), b"{}".as_slice());
        let good = sign(secret, body, now());
        for (header, body, at, error) in [
            ("", body, now(), BadSignature::Missing),
            ("t=1800000000", body, now(), BadSignature::Missing),
            ("t=soon,v1=00", body, now(), BadSignature::Missing),
            ("t=1800000000,v1=zz", body, now(), BadSignature::Missing),
            ("t=1800000000,v1=00", body, now(), BadSignature::Wrong),
            (&good, b"{ }", now(), BadSignature::Wrong),
            (&good, body, now() + TOLERANCE + Duration::from_secs(1), BadSignature::Stale),
            (&good, body, now() - TOLERANCE - Duration::from_secs(1), BadSignature::Stale),
        ] {
            assert_eq!(verify(header, body, &[secret], at), Err(error), "{header}");
        }
        assert_eq!(verify(&good, body, &[b"other".as_slice()], now()), Err(BadSignature::Wrong));
        assert_eq!(verify(&good, body, &[""; 0], now()), Err(BadSignature::Wrong));
    }

    #[test]
    fn both_shapes_of_events_are_read() {
        let about = Some(About { kind: Kind::Subscription, id: "sub_1".into() });
        let full =
            br#"{"id":"evt_1","object":"event","type":"customer.subscription.updated","livemode":false,
            "data":{"object":{"id":"sub_1","object":"subscription","status":"nobody knows"}}}"#;
        let thin = br#"{"id":"evt_1","object":"v2.core.event","type":"v1.customer.subscription.updated","livemode":false,
            "related_object":{"id":"sub_1","type":"subscription","url":"/v1/subscriptions/sub_1"}}"#;
        for body in [full.as_slice(), thin] {
            assert_eq!(
                Event::read(body).unwrap(),
                Event { id: "evt_1".into(), livemode: false, about: about.clone() }
            );
        }
    }

    #[test]
    fn what_is_not_ours_is_about_nothing() {
        for body in [
            r#"{"id":"evt_1"}"#,
            r#"{"id":"evt_1","data":{}}"#,
            r#"{"id":"evt_1","data":{"object":{"id":"cus_1","object":"customer"}}}"#,
            r#"{"id":"evt_1","data":{"object":{"id":"../sub_1","object":"subscription"}}}"#,
            r#"{"id":"evt_1","related_object":{"id":"x","type":"v2.money"}}"#,
        ] {
            assert_eq!(Event::read(body.as_bytes()).unwrap().about, None, "{body}");
        }
        assert!(Event::read(b"[]").is_err() && Event::read(b"{}").is_err());
    }
}
