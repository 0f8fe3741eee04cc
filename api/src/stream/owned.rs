//! Streams named by a path, and the permission to change one.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use uuid::Uuid;

use super::{StreamRow, select_streams};
use crate::app::App;
use crate::auth::Caller;
use crate::error::Error;

/// The stream that a path names; what is no id names nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamPath(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for StreamPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<Uuid>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Error::NotFound("the stream"))
    }
}

/// A stream whose owner is asking.
#[derive(Clone, Debug)]
pub(crate) struct OwnedStream(pub(crate) StreamRow);

impl FromRequestParts<Arc<App>> for OwnedStream {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let StreamPath(id) = StreamPath::from_request_parts(parts, app).await?;
        let row = select_streams!("where s.id = $1", id).fetch_optional(&app.database).await?;
        let row = row.ok_or(Error::NotFound("the stream"))?;
        if row.user_id == caller.user { Ok(Self(row)) } else { Err(Error::Forbidden) }
    }
}
