//! Internal requests: HMAC-signed per caller over method, path, time and body.
//!
//! `Caudal-Signature: caller={name},time={unix seconds},mac={hex}`, where the MAC is HMAC-SHA-256 under the caller's
//! key over `caller\nmethod\npath\ntime\n` and the body.

mod contact;
mod listener;

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::sync::Arc;

pub use contact::{STARTING, until_the_api_is_heard};
pub use listener::{InternalListener, answered_by, listener_of, refusal, refuses_signature};

/// The header's name.
pub const SIGNATURE_HEADER: &str = "caudal-signature";

/// A caller's secret, at least 32 bytes. Hidden in `Debug`.
#[derive(Clone)]
pub struct CallerKey(Arc<[u8]>);

impl CallerKey {
    /// From secret bytes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerKey(***)")
    }
}

/// Signs one caller's requests.
#[derive(Clone, Debug)]
pub struct Signer {
    caller: &'static str,
    key: CallerKey,
}

impl Signer {
    /// For the caller of that name, such as `ingest-router`.
    pub fn new(caller: &'static str, key: CallerKey) -> Self {
        Self { caller, key }
    }

    /// The value of [`SIGNATURE_HEADER`] for a request. `path` is path and query.
    pub fn sign(&self, method: &str, path: &str, body: &[u8], now: SystemTime) -> String {
        let time = unix_seconds(now);
        let mac = hex::encode(mac(&self.key, self.caller, method, path, time, body).finalize().into_bytes());
        format!("caller={},time={time},mac={mac}", self.caller)
    }
}

/// Knows the callers and lets nobody else in.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    /// Each with the key that it signs with, and those that it may sign with while keys are changed.
    callers: HashMap<&'static str, Vec<CallerKey>>,
}

impl Verifier {
    /// One that lets nobody in yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets this caller in too; under any of its keys, where it has several.
    #[must_use]
    pub fn allow(mut self, caller: &'static str, key: CallerKey) -> Self {
        self.callers.entry(caller).or_default().push(key);
        self
    }

    /// One that lets in only those of its callers that are among `callers`.
    #[must_use]
    pub fn only(&self, callers: &[&str]) -> Self {
        let known = self.callers.iter().filter(|(name, _)| callers.contains(name));
        Self { callers: known.map(|(name, keys)| (*name, keys.clone())).collect() }
    }

    /// The caller, when `header` is its signature of this request and not older or newer than [`MAX_SKEW`].
    pub fn verify(
        &self,
        header: &str,
        method: &str,
        path: &str,
        body: &[u8],
        now: SystemTime,
    ) -> Option<&'static str> {
        let mut caller = None;
        let mut time = None;
        let mut given = None;
        for field in header.split(',') {
            match field.split_once('=')? {
                ("caller", value) => caller = Some(value),
                ("time", value) => time = value.parse::<u64>().ok(),
                ("mac", value) => given = hex::decode(value).ok(),
                _ => return None,
            }
        }
        let (caller, time, given) = (caller?, time?, given?);
        let (name, keys) = self.callers.get_key_value(caller)?;
        if unix_seconds(now).abs_diff(time) > MAX_SKEW.as_secs() {
            return None;
        }
        let fits = |key| mac(key, name, method, path, time, body).verify_slice(&given).is_ok();
        keys.iter().any(fits).then_some(*name)
    }
}

/// Middleware: a request that is not signed by a known caller gets 401 and goes no further. Bodies over
/// [`MAX_BODY`] are refused. Use as `axum::middleware::from_fn_with_state(Arc<Verifier>, internal::require_signature)`.
pub async fn require_signature(
    State(verifier): State<Arc<Verifier>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let header =
        parts.headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    match verifier.verify(header, parts.method.as_str(), path, &body, SystemTime::now()) {
        Some(caller) => {
            tracing::trace!(caller, path, "internal request");
            next.run(Request::from_parts(parts, Body::from(body))).await
        }
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn mac(key: &CallerKey, caller: &str, method: &str, path: &str, time: u64, body: &[u8]) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else {
        // HMAC takes keys of any length.
        unreachable!()
    };
    mac.update(format!("{caller}\n{method}\n{path}\n{time}\n").as_bytes());
    mac.update(body);
    mac
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How far the clocks of two parts may be apart, so that a node that keeps bad time turns no streamer away; also how long a
/// recorded request could be played again, which is harmless because every internal request is idempotent.
pub const MAX_SKEW: Duration = Duration::from_mins(5);
/// Internal messages are small.
pub const MAX_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Signer, Verifier) {
        let key = CallerKey::new(*b"0123456789abcdef0123456789abcdef");
        (Signer::new("ingest-router", key.clone()), Verifier::new().allow("ingest-router", key))
    }

    #[test]
    fn a_signed_request_names_its_caller() {
        let (signer, verifier) = pair();
        let now = SystemTime::now();
        let header = signer.sign("POST", "/internal/x?y=1", b"{}", now);
        assert_eq!(verifier.verify(&header, "POST", "/internal/x?y=1", b"{}", now), Some("ingest-router"));
    }

    #[test]
    fn a_caller_is_let_in_where_it_is_expected_alone() {
        let (signer, verifier) = pair();
        let now = SystemTime::now();
        let header = signer.sign("POST", "/internal/x", b"{}", now);
        for (expected, let_in) in
            [(&["hls-edge", "ingest-router"][..], Some("ingest-router")), (&["hls-edge"], None), (&[], None)]
        {
            let caller = verifier.only(expected).verify(&header, "POST", "/internal/x", b"{}", now);
            assert_eq!(caller, let_in, "{expected:?}");
        }
    }

    #[test]
    fn a_caller_that_has_several_keys_signs_with_any_of_them() {
        let now = SystemTime::now();
        let key = |byte| CallerKey::new([byte; 32]);
        let verifier =
            Verifier::new().allow("hls-edge", key(1)).allow("hls-edge", key(2)).allow("api", key(3));
        for (signed_with, let_in) in [(1, true), (2, true), (3, false)] {
            let header = Signer::new("hls-edge", key(signed_with)).sign("GET", "/x", b"", now);
            let caller = verifier.verify(&header, "GET", "/x", b"", now);
            assert_eq!(caller.is_some(), let_in, "{signed_with}");
        }
    }

    #[test]
    fn a_request_changed_in_any_part_is_refused() {
        let (signer, verifier) = pair();
        let now = SystemTime::now();
        let header = signer.sign("POST", "/internal/x", b"{}", now);
        assert_eq!(verifier.verify(&header, "PUT", "/internal/x", b"{}", now), None);
        assert_eq!(verifier.verify(&header, "POST", "/internal/y", b"{}", now), None);
        assert_eq!(verifier.verify(&header, "POST", "/internal/x", b"{ }", now), None);
        assert_eq!(verifier.verify(&header, "POST", "/internal/x", b"{}", now + 2 * MAX_SKEW), None);
        assert_eq!(
            verifier.verify(&header.replace("ingest", "egress"), "POST", "/internal/x", b"{}", now),
            None
        );
        assert_eq!(verifier.verify("", "POST", "/internal/x", b"{}", now), None);
    }
}
