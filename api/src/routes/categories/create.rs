//! `POST /api/categories`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use garde::Validate;
use serde::Deserialize;
use uuid::Uuid;

use crate::administration::{Act, Actor, record};
use crate::app::Streams;
use crate::auth::Admin;
use crate::category::{self, CategoryView, Slug};
use crate::client::Client;
use crate::error::Error;
use crate::input::{FieldError, InputError};
use crate::json::Checked;
use crate::text::CategoryName;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewCategory {
    #[garde(dive)]
    name: CategoryName,
    /// Made of the name when it is absent.
    #[garde(skip)]
    slug: Option<Slug>,
}

/// Adds a category.
pub(crate) async fn create(
    State(streams): State<Arc<Streams>>,
    Admin(admin): Admin,
    client: Client,
    Checked(new): Checked<NewCategory>,
) -> Result<Response, Error> {
    let slug = new.slug.or_else(|| Slug::of_name(new.name.as_str())).ok_or_else(|| {
        let words = "no address can be made of this name; say one";
        InputError::Invalid(vec![FieldError::new("/slug", "invalid", words)])
    })?;
    let id = Uuid::now_v7();
    let mut tx = streams.database.begin().await?;
    sqlx::query!(
        "insert into categories (id, name, slug) values ($1, $2, $3)",
        id,
        new.name.as_str(),
        slug.as_str()
    )
    .execute(&mut *tx)
    .await
    .map_err(category::taken_or)?;
    let act = Act::CategoryAdded { category: id, name: new.name.as_str(), slug: slug.as_str() };
    record(&mut tx, Actor::admin(admin, &client), act).await?;
    tx.commit().await?;
    let location = format!("/api/categories/{}", slug.as_str());
    let view = CategoryView::find(&streams.database, id).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response())
}
