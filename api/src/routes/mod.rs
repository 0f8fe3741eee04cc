//! A folder a noun, a file a verb.

pub(crate) mod audience;
pub(crate) mod auth;
pub(crate) mod ingest;
pub(crate) mod streams;
