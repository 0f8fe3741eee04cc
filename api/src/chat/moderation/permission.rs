//! Requests that only who keeps a room's order may make: the room is looked up and the permission judged together.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use caudal_livestream::StreamId;
use uuid::Uuid;

use super::place::Place;
use crate::app::Accounts;
use crate::auth::{AuthError, Caller};
use crate::chat::ChatError;
use crate::error::Error;
use crate::people::PeopleError;
use crate::stream::owner_of;

/// Somebody who keeps order in the room that a path names: its owner, a moderator or an admin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moderator {
    pub(crate) caller: Caller,
    pub(crate) stream: StreamId,
    pub(crate) channel: Uuid,
    place: Place,
}

/// Whoever streams there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomOwner {
    pub(crate) caller: Caller,
    pub(crate) stream: StreamId,
}

/// The person that `{user}` of a path names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PersonPath(pub(crate) Uuid);

/// The blocked term that `{term}` of a path names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TermPath(pub(crate) Uuid);

impl<S> FromRequestParts<S> for Moderator
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let stream = named(parts, "id").await.ok_or(ChatError::UnknownStream)?;
        let accounts = Arc::<Accounts>::from_ref(state);
        let database = &accounts.database;
        let channel = owner_of(database, stream).await?;
        let found = Place::find(database, channel, caller.user).await?;
        let (place, _) = found.ok_or(AuthError::SessionRevoked)?;
        if !place.moderates() {
            return Err(ChatError::NotModerator.into());
        }
        Ok(Self { caller, stream: StreamId(stream), channel, place })
    }
}

impl<S> FromRequestParts<S> for RoomOwner
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Moderator::from_request_parts(parts, state).await {
            Ok(Moderator { caller, stream, place: Place { owner: true, .. }, .. }) => {
                Ok(Self { caller, stream })
            }
            Ok(_) | Err(Error::Chat(ChatError::NotModerator)) => Err(ChatError::NotRoomOwner.into()),
            Err(error) => Err(error),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PersonPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        named(parts, "user").await.map(Self).ok_or_else(|| PeopleError::Unknown.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TermPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        named(parts, "term").await.map(Self).ok_or_else(|| ChatError::UnknownTerm.into())
    }
}

/// The id in a part of the path; what is no id names nothing.
async fn named(parts: &mut Parts, part: &str) -> Option<Uuid> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    params.iter().find(|(name, _)| *name == part).and_then(|(_, value)| Uuid::try_parse(value).ok())
}
