//! Traces of a process, where it is told to send them.

use std::convert::Infallible;

use anyhow::Context as _;
use caudal_traces::{Config, Export, Traces};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::tasks::Tasks;
use crate::settings::{HttpUrl, TraceSettings};

/// What spans of `service` are made with, and who sends them; none where nobody wants them.
///
/// # Errors
/// When the endpoint is none.
pub fn of_process(
    settings: &TraceSettings,
    service: &str,
    instance: String,
    registry: &Registry,
) -> anyhow::Result<(Traces, Option<Export>)> {
    let Some(endpoint) = settings.endpoint.as_ref().map(HttpUrl::as_str) else {
        return Ok((Traces::off(), None));
    };
    let config = Config {
        endpoint: endpoint.parse().context("OTEL_EXPORTER_OTLP_ENDPOINT")?,
        share: settings.share,
        service: format!("caudal-{service}"),
        instance,
    };
    let (traces, export) = Export::start(config, registry).context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    Ok((traces, Some(export)))
}

/// The same with its sender among `tasks`, which ends behind `stop`.
///
/// # Errors
/// When the endpoint is none.
pub fn among(
    tasks: &mut Tasks,
    settings: &TraceSettings,
    service: &str,
    registry: &Registry,
    stop: CancellationToken,
) -> anyhow::Result<Traces> {
    // Kubernetes sets it to the pod's name.
    let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| std::process::id().to_string());
    let (traces, export) = of_process(settings, service, instance, registry)?;
    if let Some(export) = export {
        tasks.spawn("traces", async move {
            export.run(stop.cancelled_owned()).await;
            Ok::<_, Infallible>(())
        });
    }
    Ok(traces)
}
