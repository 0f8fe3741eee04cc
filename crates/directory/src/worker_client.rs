//! How router, edge and controller speak to a worker.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::RenditionName;
use caudal_livestream::credentials::{SealingPublicKey, WorkerKey};
use caudal_livestream::feed::InputState;
use caudal_livestream::proof::{Proof, SignedAssignment, SignedRenewal};
use caudal_livestream::record::WorkerAddress;
use caudal_service::http_client::{body_within, part_client, with_causes};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use thiserror::Error;
use tokio::time::timeout;

use crate::worker_feed::{ControlFeed, Feed};

/// Asks workers. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub struct WorkerClient {
    http: Client,
}

/// Whose parts a feed is to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedRenditions {
    /// Nobody's: announcements only.
    None,
    /// Those of these renditions.
    These(Vec<RenditionName>),
}

/// How long a file is, by what the worker has said of it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSize {
    /// So many bytes, no more and no fewer.
    Exactly(usize),
    /// So many bytes at most.
    AtMost(usize),
}

/// The worker did not do what was asked, and asking again will not help unless it comes back.
#[derive(Debug, Error)]
pub enum WorkerUnreachable {
    /// No connection, or none that answered in time.
    #[error("{request}: {reason}")]
    Silent {
        /// What was asked.
        request: &'static str,
        /// What happened.
        reason: String,
    },
    /// No connection was made in time, which says no more than that nothing there answers: its machine may be gone.
    #[error("{request}: no connection in time")]
    Unconnected {
        /// What was to be asked.
        request: &'static str,
    },
    /// It answered otherwise than a worker of this stream and epoch would.
    #[error("{request}: the worker answered {status}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// Its answer.
        status: u16,
    },
}

/// Why an assignment was not taken.
#[derive(Debug, Error)]
pub enum AssignError {
    /// The worker has another stream, or a higher epoch of this one is known; in its words.
    #[error("the worker cannot have the stream: {0}")]
    Conflict(String),
    /// It does not accept the assignment: not for it, expired, or not signed by its controller.
    #[error("the worker refused the assignment with {status}: {words}")]
    Refused {
        /// Its answer's status.
        status: u16,
        /// And what it said.
        words: String,
    },
    /// Something that it needs is missing now, storage for example; in its words.
    #[error("the worker cannot take the assignment now: {0}")]
    Unable(String),
    /// It may or may not have taken it.
    #[error(transparent)]
    Unreachable(#[from] WorkerUnreachable),
}

impl WorkerClient {
    /// A client with no open connection.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self { http: part_client()? })
    }

    /// `PUT /assignment`.
    ///
    /// # Errors
    /// [`AssignError`]; after `Unreachable` the worker may have taken it all the same.
    pub async fn assign(
        &self,
        worker: &WorkerAddress,
        assignment: &SignedAssignment,
    ) -> Result<(), AssignError> {
        self.order(ASSIGN, url(worker, "/assignment"), assignment).await
    }

    /// `GET /key`: what the worker's storage credentials are to be sealed to; none for a worker that has its own, of whichever
    /// release. Proves nothing of who answers at this address; whoever does gets credentials for one stream at most.
    ///
    /// # Errors
    /// When it does not answer within two seconds.
    pub async fn key(&self, worker: &WorkerAddress) -> Result<Option<SealingPublicKey>, WorkerUnreachable> {
        let response = send(KEY, self.http.get(url(worker, "/key")), KEY_DEADLINE).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let body = body(KEY, expect_ok(KEY, response)?, MAX_KEY_BYTES, KEY_DEADLINE).await?;
        let key: WorkerKey = serde_json::from_slice(&body).map_err(|error| silent(KEY, error.to_string()))?;
        Ok(Some(key.key))
    }

    /// `PUT /credentials`.
    ///
    /// # Errors
    /// [`AssignError`]; after `Unreachable` the worker may have taken them all the same.
    pub async fn renew(&self, worker: &WorkerAddress, renewal: &SignedRenewal) -> Result<(), AssignError> {
        self.order(RENEW, url(worker, "/credentials"), renewal).await
    }

    async fn order(
        &self,
        request: &'static str,
        address: String,
        signed: &impl Serialize,
    ) -> Result<(), AssignError> {
        let response = send(request, self.http.put(address).json(signed), ASSIGN_DEADLINE).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(AssignError::Conflict(words(response).await)),
            status if status.is_client_error() => {
                Err(AssignError::Refused { status: status.as_u16(), words: words(response).await })
            }
            _ => Err(AssignError::Unable(words(response).await)),
        }
    }

    /// `GET /input`: what the worker knows of its publisher.
    ///
    /// # Errors
    /// When it does not answer within two seconds, or does not accept `proof`.
    pub async fn input(
        &self,
        worker: &WorkerAddress,
        proof: &Proof,
    ) -> Result<InputState, WorkerUnreachable> {
        let response = self.get(INPUT, url(worker, "/input"), proof, INPUT_DEADLINE).await?;
        let body = body(INPUT, expect_ok(INPUT, response)?, MAX_INPUT_BYTES, INPUT_DEADLINE).await?;
        serde_json::from_slice(&body).map_err(|error| silent(INPUT, error.to_string()))
    }

    /// `GET /feed`: opens the worker's announcements; the first frame is a snapshot, as soon as there is one.
    ///
    /// # Errors
    /// When it does not begin to answer within three seconds, or does not accept `proof`.
    pub async fn feed(
        &self,
        worker: &WorkerAddress,
        proof: &Proof,
        renditions: FeedRenditions,
    ) -> Result<Feed, WorkerUnreachable> {
        let mut address = url(worker, "/feed?renditions=");
        match renditions {
            FeedRenditions::These(names) if !names.is_empty() => {
                for (index, name) in names.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    // Writing to a String cannot fail, and a rendition's name needs no escaping in a URL.
                    let _ = write!(address, "{comma}{name}");
                }
            }
            FeedRenditions::None | FeedRenditions::These(_) => address.push_str("none"),
        }
        let response = self.get(FEED, address, proof, FEED_DEADLINE).await?;
        Ok(Feed::new(expect_ok(FEED, response)?))
    }

    /// `GET /feed?events=control`: how far the stream is, and what its publisher does.
    ///
    /// # Errors
    /// When the worker does not answer in time, or does not accept `proof`.
    pub async fn control_feed(
        &self,
        worker: &WorkerAddress,
        proof: &Proof,
    ) -> Result<ControlFeed, WorkerUnreachable> {
        let response = self.get(FEED, url(worker, "/feed?events=control"), proof, FEED_DEADLINE).await?;
        Ok(ControlFeed::new(Feed::new(expect_ok(FEED, response)?)))
    }

    /// `GET /media/{rendition}/{file}`: a part, segment or initialization segment that the worker has in memory;
    /// none when it has not.
    ///
    /// # Errors
    /// When it does not answer in time, does not accept `proof`, or has another file than one of `size`.
    pub async fn fetch(
        &self,
        worker: &WorkerAddress,
        proof: &Proof,
        rendition: &RenditionName,
        file: &str,
        size: FileSize,
    ) -> Result<Option<Bytes>, WorkerUnreachable> {
        // The caller renders `file` from parsed numbers; anything else would leave the folder.
        if !file.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
            return Ok(None);
        }
        let address = url(worker, &format!("/media/{rendition}/{file}"));
        let response = self.get(FETCH, address, proof, FETCH_DEADLINE).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let file = body(FETCH, expect_ok(FETCH, response)?, size.most(), FETCH_DEADLINE).await?;
        match size {
            FileSize::Exactly(bytes) if bytes != file.len() => {
                Err(silent(FETCH, format!("an answer of {} bytes instead of {bytes}", file.len())))
            }
            FileSize::Exactly(_) | FileSize::AtMost(_) => Ok(Some(file)),
        }
    }

    async fn get(
        &self,
        request: &'static str,
        address: String,
        proof: &Proof,
        deadline: Duration,
    ) -> Result<Response, WorkerUnreachable> {
        send(request, self.http.get(address).bearer_auth(proof.reveal()), deadline).await
    }
}

impl FileSize {
    /// Bytes that are read at most.
    pub fn most(self) -> usize {
        let (Self::Exactly(bytes) | Self::AtMost(bytes)) = self;
        bytes.min(MAX_MEDIA_BYTES)
    }
}

fn url(worker: &WorkerAddress, path: &str) -> String {
    format!("http://{}{path}", worker.http)
}

async fn send(
    request: &'static str,
    builder: RequestBuilder,
    deadline: Duration,
) -> Result<Response, WorkerUnreachable> {
    match timeout(deadline, builder.send()).await {
        Ok(Err(error)) if error.is_connect() && error.is_timeout() => {
            Err(WorkerUnreachable::Unconnected { request })
        }
        Ok(answer) => answer.map_err(|error| silent(request, with_causes(&error))),
        Err(_) => Err(silent(request, "no answer in time")),
    }
}

fn expect_ok(request: &'static str, response: Response) -> Result<Response, WorkerUnreachable> {
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(WorkerUnreachable::Refused { request, status: status.as_u16() }),
    }
}

/// The whole body, when it is no longer than `limit` and there within `deadline`.
async fn body(
    request: &'static str,
    response: Response,
    limit: usize,
    deadline: Duration,
) -> Result<Bytes, WorkerUnreachable> {
    match timeout(deadline, body_within(response, limit)).await {
        Ok(body) => body.map_err(|error| silent(request, error.to_string())),
        Err(_) => Err(silent(request, "no whole answer in time")),
    }
}

/// Why a worker did not do what it was asked, for the log.
async fn words(response: Response) -> String {
    let status = response.status();
    match body(ASSIGN, response, MAX_WORDS, WORDS_DEADLINE).await {
        Ok(said) if !said.is_empty() => String::from_utf8_lossy(&said).trim().to_owned(),
        Ok(_) | Err(_) => status.to_string(),
    }
}

fn silent(request: &'static str, reason: impl Into<String>) -> WorkerUnreachable {
    WorkerUnreachable::Silent { request, reason: reason.into() }
}

const ASSIGN: &str = "PUT /assignment";
const KEY: &str = "GET /key";
const RENEW: &str = "PUT /credentials";
const INPUT: &str = "GET /input";
const FEED: &str = "GET /feed";
const FETCH: &str = "GET /media";

/// A sentence with the name of an object and what an operating system says of it.
const MAX_WORDS: usize = 4096;
/// They come with the answer.
const WORDS_DEADLINE: Duration = Duration::from_secs(1);
/// Taking an assignment includes claiming the epoch in storage.
const ASSIGN_DEADLINE: Duration = Duration::from_secs(5);
/// A worker has it in memory.
const KEY_DEADLINE: Duration = Duration::from_secs(2);
/// It is 44 characters.
const MAX_KEY_BYTES: usize = 4096;
/// A second publisher is held for 3 s at most while its router asks this.
const INPUT_DEADLINE: Duration = Duration::from_secs(2);
/// As long as a feed may be silent.
const FEED_DEADLINE: Duration = Duration::from_secs(3);
/// A player gives up on a part at about this time.
const FETCH_DEADLINE: Duration = Duration::from_secs(5);
/// An [`InputState`] is 200 bytes.
const MAX_INPUT_BYTES: usize = 16 * 1024;
/// The longest segment: 10 s of 50 Mb/s is 63 MB.
const MAX_MEDIA_BYTES: usize = 96 * 1024 * 1024;

#[cfg(test)]
#[path = "worker_client_tests.rs"]
mod tests;
