//! Categories: what streams are about, and how many watch them.

mod path;
mod slug;
mod view;

pub(crate) use path::KnownCategory;
pub(crate) use slug::Slug;
pub(crate) use view::CategoryView;

use crate::error::Error;
use crate::input::{FieldError, InputError};

/// What a write that met another category's name or slug means.
pub(crate) fn taken_or(error: sqlx::Error) -> Error {
    let constraint = match &error {
        sqlx::Error::Database(refusal) => refusal.constraint(),
        _ => None,
    };
    let (pointer, words) = match constraint {
        Some("categories_name_key") => ("/name", "there is a category of this name"),
        Some("categories_slug_key") => ("/slug", "there is a category with this address"),
        _ => return error.into(),
    };
    InputError::Taken(FieldError::new(pointer, "taken", words)).into()
}
