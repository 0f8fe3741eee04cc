//! The certificate of the doors, renewed while they are open.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context as _;
use caudal_service::tls::Certificate;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::tasks::Tasks;
use crate::settings::Settings;

/// The certificate of the settings, if there is one; followed by a task until `stop`.
///
/// # Errors
/// When it cannot be used.
pub fn load(
    settings: &Settings,
    registry: &Registry,
    tasks: &mut Tasks,
    stop: CancellationToken,
) -> anyhow::Result<Option<Arc<Certificate>>> {
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
    let (certificate, watch) = Certificate::load(certificate, key, registry).with_context(|| {
        let given = &settings.given;
        format!("{} and {}", given.name("CAUDAL_TLS_CERT"), given.name("CAUDAL_TLS_KEY"))
    })?;
    let certificate = Arc::new(certificate);
    let followed = Arc::clone(&certificate);
    tasks.spawn("watch on the certificate", async move {
        followed.follow(watch, stop).await;
        Ok::<_, Infallible>(())
    });
    Ok(Some(certificate))
}
