//! Viewer counts of an edge in a process of its own: told to the api over its internal listener.

mod outbox;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_livestream::audience::{AUDIENCE_PATH, AudienceReport, INTERVAL};
use caudal_livestream::{EdgeId, StreamId};
use caudal_service::http_client::{SignedClient, why_not_sent};
use caudal_service::internal::{InternalListener, STARTING, Signer, refusal};
use futures::future::join_all;
use reqwest::Url;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::Audience;
use outbox::Outbox;

/// The counts of this edge, for an api in another process; [`run`](Self::run) tells it every 5 s.
///
/// Every address that the api's name has is told: each replica of the api adds up for itself. What does not arrive is
/// said again 5 s later, and a replica that hears nothing for 15 s forgets the counts.
pub struct RemoteAudience {
    // Held for single operations only, never across an await.
    outbox: Mutex<Outbox>,
    http: SignedClient,
    api: Url,
}

/// The api cannot be reached under such an address.
#[derive(Debug, Error)]
pub enum BadAddress {
    /// It is no URL, or not one of plain HTTP.
    #[error("{0:?} is not the http:// address of an internal listener")]
    Url(String),
    /// No HTTP client could be made.
    #[error("the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// What was said last of the api.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    NotYet,
    Away,
}

impl Said {
    fn of(taken: bool, last: Self, starting: bool) -> Self {
        match last {
            _ if taken => Self::Nothing,
            Self::Nothing | Self::NotYet if starting => Self::NotYet,
            Self::Nothing | Self::NotYet | Self::Away => Self::Away,
        }
    }
}

impl RemoteAudience {
    /// Of a new edge without viewers. `api` is the base URL of the api's internal listener, `http://api.caudal:3001`;
    /// `signer` signs as `hls-edge`, which the api must know.
    ///
    /// # Errors
    /// [`BadAddress`] when `api` is no such URL, or the HTTP client cannot be made.
    pub fn new(api: &str, signer: Signer) -> Result<Self, BadAddress> {
        let bad = || BadAddress::Url(api.to_owned());
        let api: Url = api.parse().map_err(|_| bad())?;
        if api.scheme() != "http" || api.host_str().is_none() {
            return Err(bad());
        }
        let http = SignedClient::new(signer)?;
        Ok(Self { outbox: Mutex::new(Outbox::new(EdgeId::generate())), http, api })
    }

    /// Tells the api until `shutdown`, and then that this edge has no viewers any more. Cancel `shutdown` once the edge
    /// itself has ended, or the api shows viewers to the last that are served no longer.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        let (mut said, mut heard) = (Said::Nothing, false);
        loop {
            let round = async {
                ticks.tick().await;
                let mut reports = self.outbox().round();
                if reports.is_empty() && !heard {
                    // Not only the first viewer shows that the address is wrong.
                    reports.push(self.outbox().introduction());
                }
                if reports.is_empty() { None } else { Some(self.tell(&reports).await) }
            };
            // A round that is cut short may still be on its way: the farewell's number is above all of its.
            match shutdown.run_until_cancelled(round).await {
                Some(Some(told)) => {
                    heard |= told.is_ok();
                    let starting = !heard && began.elapsed() < STARTING;
                    said = self.say(&told, said, starting);
                }
                // Nothing was tried.
                Some(None) => {}
                None => break,
            }
        }
        let farewell = self.outbox().farewell();
        if let Some(farewell) = farewell {
            self.say(&self.tell(&[farewell]).await, said, false);
        }
    }

    /// Says once that the api is away, and once that it is back. An api that is not there yet, right behind a start, is no
    /// reason to worry: roles start together. Returns what was said last.
    fn say(&self, told: &Result<(), String>, last: Said, starting: bool) -> Said {
        let api = &self.api;
        let now = Said::of(told.is_ok(), last, starting);
        match (told, now) {
            (Ok(()), _) if last == Said::Away => {
                tracing::info!(%api, "the api takes the viewer counts again");
            }
            (Ok(()), _) if last == Said::NotYet => tracing::info!(%api, "the api takes the viewer counts"),
            (Ok(()), _) => {}
            (Err(reason), _) if now == last => {
                tracing::debug!(%api, reason, "the api does not take the viewer counts");
            }
            (Err(reason), Said::NotYet) => {
                tracing::info!(%api, reason, "the api does not take the viewer counts yet; waiting for it");
            }
            (Err(reason), _) => {
                tracing::warn!(%api, reason, "the api does not take the viewer counts; trying again");
            }
        }
        now
    }

    /// Everybody is told everything in order; who does not answer hears the rest in the next round.
    /// The error says why nobody took them.
    async fn tell(&self, reports: &[AudienceReport]) -> Result<(), String> {
        let addresses = timeout(DEADLINE, self.addresses()).await;
        let addresses = addresses.map_err(|_| "its name is not resolved in time".to_owned())?;
        let addresses = addresses.map_err(|error| format!("its name is not resolved: {error}"))?;
        let told = join_all(addresses.iter().map(|address| self.tell_one(*address, reports))).await;
        // `localhost` has two addresses, and the api listens at one of them.
        if told.iter().any(Result::is_ok) {
            return Ok(());
        }
        let each = addresses.iter().zip(told.into_iter().filter_map(Result::err));
        Err(each.map(|(address, error)| format!("{address}: {error}")).collect::<Vec<_>>().join("; "))
    }

    async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let host = self.api.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.api.port_or_known_default().unwrap_or_default();
        Ok(tokio::net::lookup_host((host, port)).await?.take(MAX_REPLICAS).collect())
    }

    async fn tell_one(&self, address: SocketAddr, reports: &[AudienceReport]) -> Result<(), String> {
        for report in reports {
            let body = serde_json::to_vec(report).map_err(|error| error.to_string())?;
            let request = self.http.post(&format!("http://{address}"), AUDIENCE_PATH, body);
            let answer = request.timeout(DEADLINE).send().await.map_err(|error| why_not_sent(&error))?;
            if !answer.status().is_success() {
                return Err(refusal(InternalListener::Api, answer.status(), answer.headers()));
            }
        }
        Ok(())
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audience for RemoteAudience {
    fn record(&self, stream: StreamId, viewers: u32) {
        self.outbox().record(stream, viewers);
    }

    /// Of this edge alone.
    fn viewers(&self, stream: StreamId) -> u32 {
        self.outbox().viewers(stream)
    }
}

/// Of one message; the next round is 5 s away.
const DEADLINE: Duration = Duration::from_secs(2);
/// Addresses of the api that are told.
const MAX_REPLICAS: usize = 32;

#[cfg(test)]
mod tests;
