//! The person that a path names: by id, or as `@username`.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

use super::PeopleError;
use crate::app::Accounts;
use crate::auth::Caller;
use crate::error::Error;
use crate::names::NormalName;

/// Somebody who has an account and is not banned.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(crate) struct KnownPerson(
    /// Somebody, by id or as `@name`.
    #[param(value_type = String, example = "@ana")]
    pub(crate) Uuid,
);

/// Somebody, banned or gone as well: whom one follows or blocks one can also let go.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(crate) struct FormerPerson(
    /// Somebody, by id or as `@name`.
    #[param(value_type = String, example = "@ana")]
    pub(crate) Uuid,
);

impl KnownPerson {
    /// For what is nobody else's.
    pub(crate) fn must_be(self, caller: Caller) -> Result<(), PeopleError> {
        if self.0 == caller.user { Ok(()) } else { Err(PeopleError::NotYou) }
    }
}

impl<S> FromRequestParts<S> for KnownPerson
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let named = Named::from_path(parts, state).await?;
        let known = sqlx::query_scalar!(
            r#"select id from users where (id = $1 or username_normal = $2)
               and deleted_at is null and banned_at is null"#,
            named.id(),
            named.name()
        );
        let known = known.fetch_optional(&Arc::<Accounts>::from_ref(state).database).await?;
        known.map(Self).ok_or_else(|| PeopleError::Unknown.into())
    }
}

impl<S> FromRequestParts<S> for FormerPerson
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let named = Named::from_path(parts, state).await?;
        let known = sqlx::query_scalar!(
            "select id from users where id = $1 or username_normal = $2",
            named.id(),
            named.name()
        );
        let known = known.fetch_optional(&Arc::<Accounts>::from_ref(state).database).await?;
        known.map(Self).ok_or_else(|| PeopleError::Unknown.into())
    }
}

enum Named {
    Id(Uuid),
    Name(NormalName),
}

impl Named {
    async fn from_path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Self, PeopleError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(named) = path.map_err(|_| PeopleError::Unknown)?;
        match named.strip_prefix('@') {
            // No name has a NUL, and PostgreSQL takes none.
            Some(name) if !name.contains('\0') => Ok(Self::Name(NormalName::of(name))),
            Some(_) => Err(PeopleError::Unknown),
            None => Uuid::try_parse(&named).map(Self::Id).map_err(|_| PeopleError::Unknown),
        }
    }

    fn id(&self) -> Option<Uuid> {
        if let Self::Id(id) = self { Some(*id) } else { None }
    }

    fn name(&self) -> Option<&str> {
        if let Self::Name(name) = self { Some(name.as_str()) } else { None }
    }
}
