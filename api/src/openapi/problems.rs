//! Every code of an error: the status it comes with, and what it means.

use serde_json::{Map, Value, json};

use super::headers;

/// The answer of a status that is one of `codes`, with `headers` of its own: the shared one where there is one.
pub(super) fn answer(status: u16, codes: &[String], headers: &[String]) -> Value {
    let shared = SHARED.iter().find(|(_, known, shared)| {
        headers.is_empty()
            && *known == status
            && shared.len() == codes.len()
            && codes.iter().all(|code| shared.contains(&code.as_str()))
    });
    match shared {
        Some((name, ..)) => json!({ "$ref": format!("#/components/responses/{name}") }),
        None => problem(status, codes.iter().map(String::as_str), headers),
    }
}

/// `components.responses`.
pub(super) fn shared() -> Map<String, Value> {
    let problem = |status: u16, codes: &[&str]| problem(status, codes.iter().copied(), &[]);
    SHARED.iter().map(|(name, status, codes)| ((*name).to_owned(), problem(*status, codes))).collect()
}

fn problem<'a>(status: u16, codes: impl Iterator<Item = &'a str> + Clone, own: &'a [String]) -> Value {
    let meaning = |code: &str| format!("`{code}`: {}", meaning_of(status, code).unwrap_or_default());
    let meanings: Vec<String> = codes.clone().map(meaning).collect();
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

/// What a code says with a status: `timed_out` is a request's with one, and a person's with another.
pub(crate) fn meaning_of(status: u16, code: &str) -> Option<&'static str> {
    CODES.iter().find(|known| (known.0, known.1) == (status, code)).map(|(.., meaning)| *meaning)
}

/// Answers that several operations have.
const SHARED: [(&str, u16, &[&str]); 11] = [
    ("Malformed", 400, &["malformed"]),
    ("Unauthenticated", 401, &["unauthenticated", "token_invalid", "token_expired", "session_revoked"]),
    ("Forbidden", 403, &["forbidden"]),
    ("NotFound", 404, &["not_found"]),
    ("Taken", 409, &["taken"]),
    ("TooLarge", 413, &["too_large"]),
    ("UnsupportedMediaType", 415, &["unsupported_media_type"]),
    ("Invalid", 422, &["invalid"]),
    ("RateLimited", 429, &["rate_limited"]),
    ("Internal", 500, &["internal"]),
    ("Unavailable", 503, &["unavailable", "timed_out"]),
];

/// As in the table of API-DESIGN.md.
const CODES: [(u16, &str, &str); 57] = [
    (400, "malformed", "Not JSON, or a query parameter that does not exist."),
    (401, "unauthenticated", "Log in first."),
    (401, "token_invalid", "The access token is none of this server's."),
    (401, "token_expired", "The access token has run out: refresh."),
    (401, "session_revoked", "The session was ended: log in again."),
    (401, "wrong_credentials", "The name or the password is wrong."),
    (401, "refresh_invalid", "The refresh token is unknown or has run out: log in again."),
    (401, "refresh_reused", "The refresh token was used before, so its session has been ended."),
    (402, "payment_failed", "The card was declined: nothing has changed."),
    (403, "forbidden", "It is somebody else's, or for admins."),
    (403, "wrong_password", "The password is wrong."),
    (403, "banned", "This account is banned."),
    (403, "blocked", "One of the two has blocked the other."),
    (403, "registration_closed", "Nobody can open an account here just now."),
    (
        403,
        "invitation_invalid",
        "Opening an account takes an invitation, and this is none, or none any more.",
    ),
    (403, "banned_here", "This person is banned from the channel's chat."),
    (403, "timed_out", "This person may not talk in the channel for a while: wait."),
    (403, "followers_only", "Only who has followed the channel for a while may talk there."),
    (403, "subs_only", "Only subscribers may talk there."),
    (403, "emotes_only", "Only emotes may be said there."),
    (403, "blocked_term", "It has words that the channel does not want to read."),
    (403, "links_blocked", "The channel wants no links."),
    (404, "not_found", "There is none."),
    (405, "method_not_allowed", "This address has no such method."),
    (409, "stream_open", "A stream is open already: end it first."),
    (409, "taken", "Somebody else has it; `errors` says what."),
    (409, "too_many", "There are as many as there may be."),
    (409, "is_admin", "An admin is not banned: take the role away first."),
    (409, "is_banned", "Who is banned does not become an admin: end the ban first."),
    (409, "last_admin", "Somebody must be left who is one: make somebody else one first."),
    (409, "no_mail", "The server sends no mail."),
    (409, "stream_key_unreadable", "The key that it was encrypted with is gone: rotate it."),
    (409, "ended", "The stream has ended, and its chat with it."),
    (409, "no_storage", "The server keeps no pictures."),
    (409, "repeated", "The same was said a moment ago."),
    (409, "not_unique", "Somebody has said the same a while ago."),
    (409, "already_subscribed", "There is a subscription of this channel already: change its tier."),
    (409, "subscription_over", "The subscription is over."),
    (409, "withdrawal_over", "The days in which it can be withdrawn from are over: cancel it."),
    (
        409,
        "change_pending",
        "A change or a renewal waits for its payment, or it is cancelled: complete the payment at `payUrl`, or resume it.",
    ),
    (412, "precondition_failed", "It was changed meanwhile: read it again."),
    (413, "too_large", "The body has more than 64 KiB; of a picture 5 MiB."),
    (
        415,
        "unsupported_media_type",
        "The body is not `application/json`; of a picture neither JPEG, PNG nor WebP.",
    ),
    (422, "invalid", "Something is not acceptable; `errors` says what and why."),
    (422, "picture_unreadable", "The picture is damaged or incomplete."),
    (422, "too_many_pixels", "The picture has more than 16 megapixels, or a side more than 10,000."),
    (422, "oneself", "Nobody does this to themselves."),
    (429, "rate_limited", "Too many requests: wait."),
    (429, "too_fast", "Not so fast: wait."),
    (429, "slow", "The channel's chat is slow: wait."),
    (429, "room_busy", "Everybody is talking at once: wait."),
    (500, "internal", "A fault of the server, whose log has it under `requestId`."),
    (501, "billing_disabled", "Nothing is sold on this server."),
    (
        503,
        "provider_unavailable",
        "The payment provider did not answer: look at your subscriptions, then try again.",
    ),
    (503, "unavailable", "Something that this needs is away: try again."),
    (503, "overloaded", "More than there is room for just now: try again."),
    (503, "timed_out", "It took too long: try again."),
];
