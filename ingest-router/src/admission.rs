//! From a publisher's request to its place in the directory: who may publish which stream.

use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use caudal_directory::{OpenError, ReconnectError, StreamDirectory};
use caudal_livestream::admission::{
    AuthorizeRequest, Authorized, DenialCode, Denied, SecondPublisher, StreamKey,
};
use caudal_livestream::record::{DesiredState, Ingest, LiveStream, Spec};
use caudal_livestream::{Generation, SessionId, StreamId};
use caudal_rtmp::Refusal;
use tokio::time::{Instant, sleep};

use crate::authorize::{Answer, Api};
use crate::guess_guard::GuessGuard;
use crate::judges::Judges;
use crate::known_keys::{KeyHash, KnownKeys, is_open};
use crate::metrics::{Metrics, RefusalReason};
use crate::takeover::{HOLD, Judgement, judge};

/// Decides about publishers.
pub(crate) struct Admission {
    pub(crate) api: Api,
    pub(crate) directory: Arc<dyn StreamDirectory>,
    pub(crate) judges: Judges,
    pub(crate) known_keys: KnownKeys,
    // Held for single operations only, never across an await.
    pub(crate) guesses: Mutex<GuessGuard>,
    pub(crate) metrics: Metrics,
    /// What a second publisher means, where this router's settings say so.
    pub(crate) second_publisher: Option<SecondPublisher>,
    /// This router's name in the directory.
    pub(crate) this_router: String,
    pub(crate) reconnect_window: Duration,
}

/// A publisher at the door.
#[derive(Clone, Debug)]
pub(crate) struct Applicant {
    pub(crate) key: StreamKey,
    pub(crate) app: String,
    /// Its address, where that is known to be real.
    pub(crate) remote: Option<IpAddr>,
    pub(crate) session: SessionId,
}

/// It is in: the directory names it as the stream's publisher.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) record: Arc<LiveStream>,
    pub(crate) generation: Generation,
}

/// It is not.
#[derive(Clone, Debug)]
pub(crate) enum NotAdmitted {
    /// And is told why.
    Refused { refusal: Refusal, reason: RefusalReason, message: String },
    /// It did not wait for the answer.
    Gone,
}

/// Where an authorized publisher stands with the directory.
enum Place {
    Taken(Admitted),
    /// This stream takes no publisher any more: the api is asked for a new one.
    Over(StreamId),
}

impl Admission {
    /// Decides about `applicant`; gives up when `gone` resolves, as long as nothing has been decided.
    pub(crate) async fn admit(
        &self,
        applicant: &Applicant,
        gone: impl Future<Output = ()>,
    ) -> Result<Admitted, NotAdmitted> {
        let mut gone = pin!(gone);
        self.check_guesses(applicant)?;
        let hash = KeyHash::of(&applicant.key);
        let mut ended = None;
        for _ in 0..MAX_STREAMS_TRIED {
            let request = AuthorizeRequest {
                key: applicant.key.clone(),
                app: applicant.app.clone(),
                remote: applicant.remote,
                session: applicant.session,
                ended,
            };
            let answer = tokio::select! {
                answer = self.api.authorize(&request) => answer,
                () = gone.as_mut() => return Err(NotAdmitted::Gone),
            };
            let place = match answer {
                Answer::Authorized(authorized) => {
                    self.known_keys.accept(authorized.stream);
                    self.place(&authorized, applicant, &hash, gone.as_mut()).await?
                }
                Answer::Denied(denied) => {
                    let streams = self.directory.watch().borrow().clone();
                    self.known_keys.refuse(&hash, &streams);
                    return Err(self.denied(denied, applicant));
                }
                Answer::Unavailable(problem) => {
                    let streams = self.directory.watch().borrow().clone();
                    let Some(record) = self.known_keys.stream(&hash, &streams) else {
                        tracing::warn!(problem, "the api cannot say whether a publisher may publish");
                        return Err(unavailable());
                    };
                    tracing::warn!(problem, stream = %record.spec.stream, "the api is away; the key's stream is open");
                    self.contend(record, SecondPublisher::default(), applicant, &hash, gone.as_mut()).await?
                }
            };
            match place {
                Place::Taken(admitted) => return Ok(admitted),
                Place::Over(stream) => ended = Some(stream),
            }
        }
        Err(refused(
            Refusal::Rejected,
            RefusalReason::Unavailable,
            "Your last broadcast is still being closed. Try again in a few seconds.",
        ))
    }

    fn check_guesses(&self, applicant: &Applicant) -> Result<(), NotAdmitted> {
        let guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        match applicant.remote {
            Some(remote) if !guesses.allows(remote, std::time::Instant::now()) => Err(refused(
                Refusal::Denied,
                RefusalReason::Guessing,
                "Too many wrong stream keys from your address. Try again in a minute.",
            )),
            _ => Ok(()),
        }
    }

    fn denied(&self, denied: Denied, applicant: &Applicant) -> NotAdmitted {
        let reason = match denied.code {
            DenialCode::UnknownKey => {
                if let Some(remote) = applicant.remote {
                    let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
                    guesses.wrong(remote, std::time::Instant::now());
                }
                RefusalReason::UnknownKey
            }
            DenialCode::Banned => RefusalReason::Banned,
            DenialCode::Held => RefusalReason::Held,
        };
        refused(Refusal::Denied, reason, denied.message)
    }

    /// Finds the place of an authorized publisher: a new stream, or the one that it or somebody else has opened.
    async fn place(
        &self,
        authorized: &Authorized,
        applicant: &Applicant,
        hash: &KeyHash,
        gone: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Place, NotAdmitted> {
        let record = match self.directory.get(authorized.stream) {
            Some(record) => record,
            None => match self.directory.open(self.spec(authorized, applicant, hash)).await {
                Ok(record) => {
                    return Ok(Place::Taken(Admitted { record, generation: FIRST_GENERATION }));
                }
                Err(OpenError::Exists(record)) => record,
                Err(OpenError::NoCapacity) => {
                    return Err(refused(
                        Refusal::Rejected,
                        RefusalReason::NoCapacity,
                        "This server already carries as many streams as it may. Try again when another has ended.",
                    ));
                }
                Err(OpenError::Unavailable(error)) => {
                    tracing::warn!(stream = %authorized.stream, %error, "a stream cannot be opened");
                    return Err(unavailable());
                }
            },
        };
        self.contend(record, authorized.policy, applicant, hash, gone).await
    }

    /// Makes the publisher that of an open stream, if the one that it has now is silent or gives way.
    async fn contend(
        &self,
        mut record: Arc<LiveStream>,
        policy: SecondPublisher,
        applicant: &Applicant,
        hash: &KeyHash,
        mut gone: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Place, NotAdmitted> {
        let policy = self.second_publisher.unwrap_or(policy);
        let stream = record.spec.stream;
        let mut since = Instant::now();
        for _ in 0..MAX_RIVALS {
            if !is_open(&record) {
                return Ok(Place::Over(stream));
            }
            loop {
                let held = since.elapsed();
                let testimony = tokio::select! {
                    testimony = self.judges.testimony(&record) => testimony,
                    () = gone.as_mut() => return Err(NotAdmitted::Gone),
                };
                match judge(policy, testimony, held) {
                    Judgement::TakeOver => break,
                    Judgement::Refuse => {
                        return Err(refused(
                            Refusal::BadName,
                            RefusalReason::AlreadyLive,
                            "This stream key is live from another encoder.",
                        ));
                    }
                    Judgement::AskAgain(pause) => tokio::select! {
                        () = sleep(pause) => {}
                        () = gone.as_mut() => return Err(NotAdmitted::Gone),
                    },
                }
            }
            let ingest = Ingest {
                session: applicant.session,
                generation: record.spec.ingest.generation.next(),
                router: self.this_router.clone(),
                key_hash: hash.as_str().to_owned(),
            };
            let generation = ingest.generation;
            match self.directory.reconnect(stream, ingest).await {
                Ok(record) => {
                    self.metrics.takeovers.inc();
                    return Ok(Place::Taken(Admitted { record, generation }));
                }
                Err(ReconnectError::Stale(_)) => {
                    // A rival was faster, and has the same claim to be judged fairly.
                    since = Instant::now();
                    match self.newer(stream, generation).await {
                        Some(newer) => record = newer,
                        None => return Ok(Place::Over(stream)),
                    }
                }
                Err(ReconnectError::Over(_) | ReconnectError::Unknown) => return Ok(Place::Over(stream)),
                Err(ReconnectError::Unavailable(error)) => {
                    tracing::warn!(%stream, %error, "a stream's publisher cannot be changed");
                    return Err(unavailable());
                }
            }
        }
        Err(refused(
            Refusal::BadName,
            RefusalReason::AlreadyLive,
            "Several encoders are trying to publish with this stream key.",
        ))
    }

    /// The record of `stream` once it shows `generation` or a later one: a directory may lag behind what it refused.
    async fn newer(&self, stream: StreamId, generation: Generation) -> Option<Arc<LiveStream>> {
        let mut streams = self.directory.watch();
        let shows = |record: &Arc<LiveStream>| record.spec.ingest.generation >= generation;
        let caught_up = async {
            let seen = streams.wait_for(|streams| streams.get(&stream).is_none_or(shows)).await;
            seen.ok().and_then(|streams| streams.get(&stream).cloned())
        };
        match tokio::time::timeout(HOLD, caught_up).await {
            Ok(record) => record,
            Err(_) => self.directory.get(stream),
        }
    }

    fn spec(&self, authorized: &Authorized, applicant: &Applicant, hash: &KeyHash) -> Spec {
        Spec {
            stream: authorized.stream,
            channel: authorized.channel.clone(),
            title: authorized.title.clone(),
            access: authorized.access,
            renditions: authorized.ladder.clone(),
            latency_mode: authorized.latency_mode,
            reconnect_window_ms: u32::try_from(self.reconnect_window.as_millis()).unwrap_or(u32::MAX),
            record: authorized.record,
            hints: authorized.hints,
            desired_state: DesiredState::Live,
            end_reason: None,
            drop: None,
            key_revoked: false,
            ingest: Ingest {
                session: applicant.session,
                generation: FIRST_GENERATION,
                router: self.this_router.clone(),
                key_hash: hash.as_str().to_owned(),
            },
        }
    }
}

fn refused(refusal: Refusal, reason: RefusalReason, message: impl Into<String>) -> NotAdmitted {
    NotAdmitted::Refused { refusal, reason, message: message.into() }
}

fn unavailable() -> NotAdmitted {
    refused(
        Refusal::Rejected,
        RefusalReason::Unavailable,
        "The platform cannot check stream keys now. Try again in a moment.",
    )
}

/// [`StreamDirectory::open`]'s.
const FIRST_GENERATION: Generation = Generation(1);
/// A stream that has ended, and the one that the api opens for it; once more for an end in that very moment.
const MAX_STREAMS_TRIED: usize = 3;
/// Publishers that may be faster than this one before it gives up.
const MAX_RIVALS: usize = 3;
