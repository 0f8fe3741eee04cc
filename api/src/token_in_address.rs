//! Tokens in addresses. Browsers cannot give a WebSocket headers, so client libraries tempt people to write the token into its address,
//! which every proxy on the way writes into its log. It is refused, so that no client comes to rely on it.

use axum::extract::{Query, Request};
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::error::Error;
use crate::input::InputError;

/// In front of all sockets.
pub(crate) async fn refuse(request: Request, next: Next) -> Response {
    if has_token(request.uri()) {
        let words = "tokens do not belong in an address; see docs/realtime.md for where they do";
        return Error::from(InputError::Malformed(words.into())).into_response();
    }
    next.run(request).await
}

fn has_token(address: &Uri) -> bool {
    // What is no query has no parameter by any of these names; whoever reads it next says so.
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(address) else { return false };
    pairs.iter().any(|(name, _)| NAMES.contains(&name.to_ascii_lowercase().as_str()))
}

/// In lower case; what client libraries and their examples call it.
const NAMES: [&str; 9] = [
    "token",
    "access_token",
    "accesstoken",
    "refresh_token",
    "refreshtoken",
    "auth",
    "authorization",
    "bearer",
    "jwt",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_however_its_name_is_written() {
        for (query, found) in [
            ("", false),
            ("?EIO=4&transport=websocket", false),
            ("?since=1.2&tokens=3", false),
            ("?sid=token", false),
            ("?token=x", true),
            ("?since=1.2&access_token=x", true),
            ("?accessToken", true),
            ("?%74oken=x", true),
            ("?JWT=x", true),
            ("?%ff=1&token=x", true),
        ] {
            let address: Uri = format!("/ws/notifications{query}").parse().unwrap();
            assert_eq!(has_token(&address), found, "{query}");
        }
    }
}
