//! Streams named by a path, and the permission to change one.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{StreamError, StreamRow, select_streams};
use crate::app::{Accounts, Streams};
use crate::auth::Caller;
use crate::error::Error;

/// The stream that a path names; what is no id names nothing.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(crate) struct StreamPath(
    /// The stream's id.
    pub(crate) Uuid,
);

impl<S: Send + Sync> FromRequestParts<S> for StreamPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<Uuid>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| StreamError::Unknown.into())
    }
}

/// A stream whose owner is asking.
#[derive(Clone, Debug)]
pub(crate) struct OwnedStream(pub(crate) StreamRow);

impl<S> FromRequestParts<S> for OwnedStream
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
    Arc<Streams>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let StreamPath(id) = StreamPath::from_request_parts(parts, state).await?;
        let streams = Arc::<Streams>::from_ref(state);
        let row = select_streams!("where s.id = $1", id).fetch_optional(&streams.database).await?;
        let row = row.ok_or(StreamError::Unknown)?;
        if row.user_id == caller.user { Ok(Self(row)) } else { Err(StreamError::NotYours.into()) }
    }
}
