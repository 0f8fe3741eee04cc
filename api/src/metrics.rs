//! What the api counts.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use crate::limits::Class;

#[derive(Clone)]
pub(crate) struct Metrics {
    requests: HistogramVec,
    limited: IntCounterVec,
    admissions: IntCounterVec,
    chat: IntCounterVec,
    live: IntGauge,
    viewers: IntGauge,
    most_viewers: IntGauge,
    latency: Histogram,
    mails: IntCounterVec,
    webhooks: IntCounterVec,
    cached: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
        let requests = HistogramVec::new(
            HistogramOpts::new(
                "caudal_api_request_duration_seconds",
                "From a request's headers to its answer.",
            )
            .buckets(buckets),
            &["method", "route", "status"],
        )?;
        let limited = IntCounterVec::new(
            Opts::new(
                "caudal_api_limited_requests_total",
                "Requests that were refused for coming too often.",
            ),
            &["class"],
        )?;
        let admissions = IntCounterVec::new(
            Opts::new("caudal_api_admissions_total", "Answers to the ingest router, by outcome."),
            &["outcome"],
        )?;
        let chat = IntCounterVec::new(
            Opts::new(
                "caudal_api_chat_messages_total",
                "Messages that somebody wanted to say, by what came of it.",
            ),
            &["outcome"],
        )?;
        // A label for each stream would grow for as long as there are broadcasts: the sum and the largest say enough.
        let live = IntGauge::new("caudal_api_live_streams", "Streams that are live.")?;
        let viewers = IntGauge::new("caudal_api_viewers", "Viewers of all live streams.")?;
        let most_viewers =
            IntGauge::new("caudal_api_most_viewers", "Viewers of the live stream that has the most.")?;
        for gauge in [&live, &viewers, &most_viewers] {
            registry.register(Box::new(gauge.clone()))?;
        }
        let latency = Histogram::with_opts(
            HistogramOpts::new(
                "caudal_api_viewer_latency_seconds",
                "From receiving a picture to its viewer's screen, as players tell twice a minute.",
            )
            .buckets(vec![0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0]),
        )?;
        registry.register(Box::new(latency.clone()))?;
        let mails = IntCounterVec::new(
            Opts::new("caudal_api_mails_total", "Mails that were written, by what came of them."),
            &["outcome"],
        )?;
        registry.register(Box::new(mails.clone()))?;
        let webhooks = IntCounterVec::new(
            Opts::new(
                "caudal_api_webhooks_total",
                "Tries to tell somebody's server something, by what came of them.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(webhooks.clone()))?;
        let cached = IntCounterVec::new(
            Opts::new(
                "caudal_api_cached_answers_total",
                "Answers about live streams with Redis: kept ones, and those that had to be made.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(cached.clone()))?;
        registry.register(Box::new(chat.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(limited.clone()))?;
        registry.register(Box::new(admissions.clone()))?;
        Ok(Self {
            requests,
            limited,
            admissions,
            chat,
            live,
            viewers,
            most_viewers,
            latency,
            mails,
            webhooks,
            cached,
        })
    }

    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS => method.as_str(),
            // Anybody can invent methods; a metric each would be theirs to fill.
            _ => "other",
        };
        self.requests.with_label_values(&[method, route, status.as_str()]).observe(took.as_secs_f64());
    }

    pub(crate) fn limited(&self, class: Class) {
        self.limited.with_label_values(&[class.word()]).inc();
    }

    /// `outcome` is `accepted`, or the code of the refusal.
    pub(crate) fn said(&self, outcome: &str) {
        self.chat.with_label_values(&[outcome]).inc();
    }

    /// How many watch each live stream.
    pub(crate) fn watched(&self, viewers: &[u32]) {
        self.live.set(i64::try_from(viewers.len()).unwrap_or(i64::MAX));
        self.viewers.set(viewers.iter().copied().map(i64::from).sum());
        self.most_viewers.set(viewers.iter().copied().max().map_or(0, i64::from));
    }

    /// How late a viewer sees the picture.
    pub(crate) fn watched_late(&self, seconds: f64) {
        self.latency.observe(seconds);
    }

    /// `sent` or `given_up`.
    pub(crate) fn mailed(&self, outcome: &str) {
        self.mails.with_label_values(&[outcome]).inc();
    }

    /// `outcome` is one of a dozen words of ours (docs/metrics.md).
    pub(crate) fn webhook(&self, outcome: &str) {
        self.webhooks.with_label_values(&[outcome]).inc();
    }

    /// `kept`, or `made` where it was not there.
    pub(crate) fn cached_answer(&self, outcome: &str) {
        self.cached.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn admitted(&self, outcome: &str) {
        self.admissions.with_label_values(&[outcome]).inc();
    }
}
