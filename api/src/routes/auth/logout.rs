//! `POST /api/auth/logout`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};

use super::refresh::Presented;
use crate::app::App;
use crate::auth::{MaybeCaller, end_session, forget_cookie};
use crate::error::Error;
use crate::json::CheckedOrDefault;

/// Ends the session of the access token, of the refresh token, or of both; whoever has neither is logged out already.
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    MaybeCaller(caller): MaybeCaller,
    headers: HeaderMap,
    CheckedOrDefault(presented): CheckedOrDefault<Presented>,
) -> Result<Response, Error> {
    if let Some(caller) = caller {
        end_session(&app.database, caller.session).await?;
    }
    // A token that is none of ours leaves nothing to end.
    if let Some(token) = presented.token(&headers).unwrap_or_default()
        && let Some(ours) = app.sessions.recognise(&app.database, &token).await?
    {
        end_session(&app.database, ours.session).await?;
    }
    let cookie = forget_cookie(&app.urls).map(|cookie| (header::SET_COOKIE, cookie));
    Ok((StatusCode::NO_CONTENT, AppendHeaders(cookie)).into_response())
}
