//! The category that a path names.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Slug;
use crate::app::Streams;
use crate::error::Error;

/// A category, by its slug.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KnownCategory {
    #[param(ignore)]
    pub(crate) id: Uuid,
    /// The category's name in addresses.
    #[param(value_type = Slug, inline)]
    pub(crate) slug: String,
}

impl<S> FromRequestParts<S> for KnownCategory
where
    S: Send + Sync,
    Arc<Streams>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let unknown = || Error::NotFound("this category");
        let Path(named) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        let slug = Slug::parse(&named).ok_or_else(unknown)?;
        let known = sqlx::query_as!(Self, "select id, slug from categories where slug = $1", slug.as_str());
        let known = known.fetch_optional(&Arc::<Streams>::from_ref(state).database).await?;
        known.ok_or_else(unknown)
    }
}
