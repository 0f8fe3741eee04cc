//! The refresh token's other home: a cookie that no script sees and no other site's page sends.

use axum::http::{HeaderMap, HeaderValue, header};
use chrono::Utc;

use super::{Issued, RefreshToken};
use crate::config::PublicUrls;

/// `Set-Cookie` for a new refresh token.
pub(crate) fn refresh_cookie(issued: &Issued, urls: &PublicUrls) -> Option<HeaderValue> {
    let seconds = (issued.expires_at - Utc::now()).num_seconds().max(0);
    set_cookie(&issued.token.reveal(), seconds, urls)
}

/// `Set-Cookie` that removes it.
pub(crate) fn forget_cookie(urls: &PublicUrls) -> Option<HeaderValue> {
    set_cookie("", 0, urls)
}

/// The token that a browser sent, if any.
pub(crate) fn refresh_from_cookie(headers: &HeaderMap) -> Option<RefreshToken> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == NAME)
        .find_map(|(_, value)| RefreshToken::parse(value).ok())
}

fn set_cookie(value: &str, seconds: i64, urls: &PublicUrls) -> Option<HeaderValue> {
    // Where only plain HTTP reaches us – a first try on one machine – a Secure cookie would never come back.
    let secure = if urls.secure() { "; Secure" } else { "" };
    let cookie =
        format!("{NAME}={value}; Path=/api/auth; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut cookie = HeaderValue::try_from(cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

const NAME: &str = "caudal_refresh";
