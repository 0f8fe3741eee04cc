//! `GET /api/auth/sessions`, `DELETE /api/auth/sessions` and `DELETE /api/auth/sessions/:id`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use uuid::Uuid;

use crate::app::Accounts;
use crate::auth::{Caller, OwnSession, end_own_session, end_sessions};
use crate::error::Error;

/// Where the caller is logged in.
pub(crate) async fn sessions(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
) -> Result<Json<Vec<OwnSession>>, Error> {
    Ok(Json(OwnSession::all(&accounts.database, caller).await?))
}

/// Ends one of them; that it ended before is as good.
pub(crate) async fn end_session(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    path: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Error> {
    let Path(session) = path.map_err(|_| UNKNOWN)?;
    if !end_own_session(&accounts.database, caller.user, session).await? {
        return Err(UNKNOWN);
    }
    tracing::info!(target: "caudal_api::audit", user = %caller.user, session = %caller.session, ended = %session,
        "a session was ended from another one, or from itself");
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all but the one that asks.
pub(crate) async fn end_other_sessions(
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
) -> Result<StatusCode, Error> {
    end_sessions(&accounts.database, caller.user, Some(caller.session)).await?;
    tracing::info!(target: "caudal_api::audit", user = %caller.user, session = %caller.session,
        "all other sessions were ended");
    Ok(StatusCode::NO_CONTENT)
}

const UNKNOWN: Error = Error::NotFound("this session");
