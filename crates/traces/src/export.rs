//! Sending spans to a collector, as OTLP over HTTP with protobuf.

use std::time::Duration;

use caudal_service::http_client::{outside_client, why_not_sent};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use prost::Message as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::sampling::Share;
use crate::span::{Traces, attribute};

/// Where traces go, and which.
#[derive(Clone, Debug)]
pub struct Config {
    /// The collector's base URL, as in `http://127.0.0.1:4318`.
    pub endpoint: Url,
    /// Of how many streams.
    pub share: Share,
    /// What this process is, as in `caudal-ingest-router`.
    pub service: String,
    /// Which of them it is: a pod's name, a worker's id.
    pub instance: String,
}

/// Why nothing is exported.
#[derive(Debug, Error)]
pub enum StartError {
    /// It is exported already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// There is no client.
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The endpoint takes no path.
    #[error("{0} is no base URL of a collector")]
    Endpoint(Url),
}

/// The one that sends. Whoever starts it runs it.
pub struct Export {
    http: Client,
    traces_url: Url,
    resource: Resource,
    spans: mpsc::Receiver<Sent>,
    exported: IntCounter,
    failed: IntCounter,
    /// Whether the last one failed.
    away: bool,
}

impl Export {
    /// With what spans are made of. Nothing is sent before [`run`](Self::run).
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config, registry: &Registry) -> Result<(Traces, Self), StartError> {
        let exported = IntCounter::new("caudal_traces_exported_spans_total", "Spans that a collector took")?;
        let dropped = IntCounterVec::new(
            Opts::new("caudal_traces_dropped_spans_total", "Spans that no collector got, by the reason"),
            &["reason"],
        )?;
        registry.register(Box::new(exported.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        let (traces, spans) = Traces::queue(config.share, dropped.with_label_values(&["queue_full"]));
        let mut traces_url = config.endpoint.clone();
        traces_url
            .path_segments_mut()
            .map_err(|()| StartError::Endpoint(config.endpoint.clone()))?
            .pop_if_empty()
            .extend(["v1", "traces"]);
        let resource = Resource {
            attributes: vec![
                attribute("service.name", config.service),
                attribute("service.namespace", "caudal".to_owned()),
                attribute("service.instance.id", config.instance),
                attribute("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ],
            ..Resource::default()
        };
        let export = Self {
            http: outside_client()?,
            traces_url,
            resource,
            spans,
            exported,
            failed: dropped.with_label_values(&["export_failed"]),
            away: false,
        };
        Ok((traces, export))
    }

    /// Sends what is over, a second or so later, until `stop`; then what is left, for two seconds.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        // Once it has been told to stop: until when it may still send.
        let mut by = None;
        loop {
            let mut batch = Vec::new();
            if by.is_none() {
                tokio::select! {
                    received = self.spans.recv_many(&mut batch, 1) => if received == 0 { return },
                    () = &mut stop => by = Some(Instant::now() + LAST_WORDS),
                }
            }
            // Others follow the first one.
            if by.is_none() && timeout(GATHER, &mut stop).await.is_ok() {
                by = Some(Instant::now() + LAST_WORDS);
            }
            if by.is_some() {
                self.spans.close();
            }
            while batch.len() < BATCH
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let count = batch.len();
            let is_late = {
                let sending = self.send(batch);
                tokio::pin!(sending);
                let by = if let Some(by) = by {
                    by
                } else {
                    tokio::select! {
                        () = &mut sending => continue,
                        () = &mut stop => *by.insert(Instant::now() + LAST_WORDS),
                    }
                };
                timeout_at(by, sending).await.is_err()
            };
            if is_late {
                self.failed.inc_by(u64::try_from(count.saturating_add(self.spans.len())).unwrap_or(u64::MAX));
                return;
            }
        }
    }

    async fn send(&mut self, batch: Vec<Sent>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "caudal".to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: batch,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        match self.post(request.encode_to_vec()).await {
            Ok(()) => {
                self.exported.inc_by(count);
                if std::mem::take(&mut self.away) {
                    tracing::info!("the collector of traces takes them again");
                }
            }
            Err(reason) => {
                self.failed.inc_by(count);
                if std::mem::replace(&mut self.away, true) {
                    tracing::debug!(reason, "traces are still not taken");
                } else {
                    tracing::warn!(reason, url = %self.traces_url, "traces are not taken, and are lost until they are; nothing else is");
                }
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), String> {
        let asked =
            self.http.post(self.traces_url.clone()).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        match timeout(DEADLINE, asked.send()).await {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("the collector answers {}", answer.status())),
            Ok(Err(error)) => Err(why_not_sent(&error)),
            Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        }
    }
}

/// Of one request.
const BATCH: usize = 512;
/// A span is looked at by a person, minutes later.
const GATHER: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(5);
/// A process that is told to end has other things to do.
const LAST_WORDS: Duration = Duration::from_secs(2);
