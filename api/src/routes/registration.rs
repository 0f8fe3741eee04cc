//! `GET /api/registration`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::app::Accounts;
use crate::error::Error;
use crate::registration::{RegistrationMode, in_force};

#[derive(Serialize)]
pub(crate) struct Answer {
    mode: RegistrationMode,
}

/// Who may open an account, so that a page asks for what is needed.
pub(crate) async fn registration(State(accounts): State<Arc<Accounts>>) -> Result<Json<Answer>, Error> {
    let mode = in_force(&accounts.database, accounts.registration).await?;
    Ok(Json(Answer { mode }))
}
