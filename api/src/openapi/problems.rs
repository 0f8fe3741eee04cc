//! Every code of an error: the status it comes with, and what it means.

use serde_json::{Map, Value, json};

use super::headers;

/// The answer of a status that is one of `codes`, with `headers` of its own: the shared one where there is one.
pub(super) fn answer(status: u16, codes: &[String], headers: &[String]) -> Value {
    let shared = SHARED.iter().find(|(_, shared)| {
        headers.is_empty()
            && shared.len() == codes.len()
            && codes.iter().all(|code| shared.contains(&code.as_str()))
    });
    match shared {
        Some((name, _)) => json!({ "$ref": format!("#/components/responses/{name}") }),
        None => problem(status, codes.iter().map(String::as_str), headers),
    }
}

/// `components.responses`.
pub(super) fn shared() -> Map<String, Value> {
    let problem = |codes: &[&'static str]| {
        problem(codes.first().map_or(500, |code| status_of(code)), codes.iter().copied(), &[])
    };
    SHARED.iter().map(|(name, codes)| ((*name).to_owned(), problem(codes))).collect()
}

fn problem<'a>(status: u16, codes: impl Iterator<Item = &'a str> + Clone, own: &'a [String]) -> Value {
    let meanings: Vec<String> =
        codes.clone().map(|code| format!("`{code}`: {}", meaning_of(code).unwrap_or_default())).collect();
    let usual = match status {
        401 => Some("WWW-Authenticate"),
        429 | 503 => Some("Retry-After"),
        _ => None,
    };
    json!({
        "description": meanings.join("\n\n"),
        "headers": headers::references(own.iter().map(String::as_str).chain(usual).chain(headers::ALWAYS)),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        { "$ref": "#/components/schemas/Problem" },
                        {
                            "type": "object",
                            "properties": {
                                "status": { "const": status },
                                "code": { "enum": codes.collect::<Vec<_>>() },
                            },
                        },
                    ],
                },
            },
        },
    })
}

/// The status that a code comes with; 500 for one that [`CODES`] does not have, which a test forbids.
pub(crate) fn status_of(code: &str) -> u16 {
    CODES.iter().find(|(_, known, _)| *known == code).map_or(500, |(status, ..)| *status)
}

/// What a code says.
pub(crate) fn meaning_of(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(_, known, _)| *known == code).map(|(.., meaning)| *meaning)
}

/// Answers that several operations have.
const SHARED: [(&str, &[&str]); 11] = [
    ("Malformed", &["malformed"]),
    ("Unauthenticated", &["unauthenticated", "token_invalid", "token_expired", "session_revoked"]),
    ("Forbidden", &["forbidden"]),
    ("NotFound", &["not_found"]),
    ("Taken", &["taken"]),
    ("TooLarge", &["too_large"]),
    ("UnsupportedMediaType", &["unsupported_media_type"]),
    ("Invalid", &["invalid"]),
    ("RateLimited", &["rate_limited"]),
    ("Internal", &["internal"]),
    ("Unavailable", &["unavailable", "timed_out"]),
];

/// As in the table of API-DESIGN.md.
const CODES: [(u16, &str, &str); 32] = [
    (400, "malformed", "Not JSON, or a query parameter that does not exist."),
    (401, "unauthenticated", "Log in first."),
    (401, "token_invalid", "The access token is none of this server's."),
    (401, "token_expired", "The access token has run out: refresh."),
    (401, "session_revoked", "The session was ended: log in again."),
    (401, "wrong_credentials", "The name or the password is wrong."),
    (401, "refresh_invalid", "The refresh token is unknown or has run out: log in again."),
    (401, "refresh_reused", "The refresh token was used before, so its session has been ended."),
    (403, "forbidden", "It is somebody else's, or for admins."),
    (403, "wrong_password", "The password is wrong."),
    (403, "banned", "This account is banned."),
    (403, "blocked", "One of the two has blocked the other."),
    (404, "not_found", "There is none."),
    (405, "method_not_allowed", "This address has no such method."),
    (409, "stream_open", "A stream is open already: end it first."),
    (409, "taken", "Somebody else has it; `errors` says what."),
    (409, "too_many", "There are as many as there may be."),
    (409, "stream_key_unreadable", "The key that it was encrypted with is gone: rotate it."),
    (409, "ended", "The stream has ended, and its chat with it."),
    (409, "repeated", "The same was said a moment ago."),
    (412, "precondition_failed", "It was changed meanwhile: read it again."),
    (413, "too_large", "The body has more than 64 KiB."),
    (415, "unsupported_media_type", "The body is not `application/json`."),
    (422, "invalid", "Something is not acceptable; `errors` says what and why."),
    (422, "oneself", "Nobody does this to themselves."),
    (429, "rate_limited", "Too many requests: wait."),
    (429, "too_fast", "Not so fast: wait."),
    (429, "room_busy", "Everybody is talking at once: wait."),
    (500, "internal", "A fault of the server, whose log has it under `requestId`."),
    (503, "unavailable", "Something that this needs is away: try again."),
    (503, "overloaded", "More than there is room for just now: try again."),
    (503, "timed_out", "It took too long: try again."),
];
