//! A bucket's streams, by the page.

use caudal_livestream::StreamId;
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};

use crate::store::{StorageError, failed, within};

/// At most `most` streams that have anything under `top`, from behind `after`. Each request has a deadline of its own, however many there are.
pub(crate) async fn streams_after(
    bucket: &AmazonS3,
    top: &str,
    after: Option<StreamId>,
    most: usize,
) -> Result<Vec<StreamId>, StorageError> {
    let folder = format!("{top}/");
    let mut streams = Vec::new();
    let mut token = None;
    loop {
        let options = PaginatedListOptions {
            // Behind all that begins with the stream's name and a slash, of which '0' is the successor.
            offset: after.map(|stream| format!("{folder}{stream}0")),
            delimiter: Some("/".into()),
            max_keys: Some(most.saturating_sub(streams.len()).min(MOST_A_REQUEST)),
            page_token: token.take(),
            ..PaginatedListOptions::default()
        };
        let page = within(&folder, bucket.list_paginated(Some(&folder), options)).await?;
        let page = page.map_err(|error| failed(&folder, error))?;
        let names = page.result.common_prefixes.iter().filter_map(|folder| folder.filename());
        streams.extend(
            names.filter_map(stream_named).filter(|stream| after.is_none_or(|after| stream.0 > after.0)),
        );
        token = page.page_token;
        if token.is_none() || streams.len() >= most {
            streams.sort_unstable_by_key(|stream| stream.0);
            return Ok(streams);
        }
    }
}

/// The stream whose folder has this name: a stream's id as we write it.
pub(crate) fn stream_named(name: &str) -> Option<StreamId> {
    name.parse::<StreamId>().ok().filter(|stream| stream.to_string() == *name)
}

/// What S3 gives at most.
const MOST_A_REQUEST: usize = 1000;
