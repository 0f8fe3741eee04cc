//! `GET /pictures/:folder/:file`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use caudal_storage::Key;

use crate::error::Error;
use crate::pictures::Pictures;

/// A picture that somebody uploaded, for everybody. Storage is asked for names that a picture can have, and no others.
pub(crate) async fn picture(
    State(pictures): State<Arc<Pictures>>,
    Path((folder, file)): Path<(String, String)>,
) -> Result<Response, Error> {
    let unknown = || Error::NotFound("this picture");
    let key: Key = format!("pictures/{folder}/{file}").parse().map_err(|_| unknown())?;
    let shelf = pictures.shelf().map_err(|_| unknown())?;
    let found = shelf.get(&key).await?.ok_or_else(unknown)?;
    let headers = [(header::CONTENT_TYPE, key.content_type()), (header::CACHE_CONTROL, key.cache_control())];
    Ok((headers, found).into_response())
}
