//! `POST /internal/audience`: an edge's viewers.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use caudal_livestream::audience::{AudienceReport, MAX_COUNTS};

use crate::app::Streams;
use crate::error::Error;
use crate::input::InputError;
use crate::json::Internal;

/// Takes them. A report that was overtaken is acknowledged: asking the edge for it again would change nothing.
pub(crate) async fn report(
    State(streams): State<Arc<Streams>>,
    Internal(report): Internal<AudienceReport>,
) -> Result<StatusCode, Error> {
    if report.counts.len() > MAX_COUNTS {
        return Err(InputError::TooLarge.into());
    }
    let edge = report.edge;
    match streams.audience.take(report, Instant::now()) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(full) => {
            tracing::warn!(%edge, %full, "viewers of an edge are not counted");
            Ok(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}
