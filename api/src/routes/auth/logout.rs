//! `POST /api/auth/logout`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use uuid::Uuid;

use super::refresh::Presented;
use crate::app::Accounts;
use crate::auth::{MaybeCaller, end_session, forget_cookie};
use crate::departures::Departure;
use crate::error::Error;
use crate::json::CheckedOrDefault;

/// Ends the session of the access token, of the refresh token, or of both; whoever has neither is logged out already.
pub(crate) async fn logout(
    State(accounts): State<Arc<Accounts>>,
    MaybeCaller(caller): MaybeCaller,
    headers: HeaderMap,
    CheckedOrDefault(presented): CheckedOrDefault<Presented>,
) -> Result<Response, Error> {
    if let Some(caller) = caller {
        end(&accounts, caller.session).await?;
    }
    // A token that is none of ours leaves nothing to end.
    if let Some(token) = presented.token(&headers).unwrap_or_default()
        && let Some(ours) = accounts.sessions.recognise(&accounts.database, &token).await?
    {
        end(&accounts, ours.session).await?;
    }
    let cookie = forget_cookie(&accounts.urls).map(|cookie| (header::SET_COOKIE, cookie));
    Ok((StatusCode::NO_CONTENT, AppendHeaders(cookie)).into_response())
}

async fn end(accounts: &Accounts, session: Uuid) -> Result<(), Error> {
    end_session(&accounts.database, session).await?;
    accounts.departures.announce(Departure::SessionEnded { session }).await;
    Ok(())
}
