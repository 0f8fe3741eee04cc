//! From a publisher's request to its place in the directory: who may publish which stream.

use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::{OpenError, ReconnectError, StreamDirectory};
use caudal_livestream::admission::{
    AuthorizeRequest, Authorized, DenialCode, Denied, SecondPublisher, StreamKey,
};
use caudal_livestream::record::{DesiredState, Ingest, LiveStream, Spec};
use caudal_livestream::{Generation, SessionId, StreamId};
use caudal_rtmp::{PublishRequested, Refusal};
use caudal_service::origin::Origin;
use caudal_traces::Traces;
use tokio::time::{Instant, sleep, timeout};

use crate::authorize::{Answer, Api};
use crate::contenders::{Contender, Contenders};
use crate::guesses::Guesses;
use crate::judges::Judges;
use crate::known_keys::{KeyHash, KnownKeys};
use crate::metrics::{Metrics, RefusalReason};
use crate::outage::Outage;
use crate::seats::{Full, Guest, Seat, Seats};
use crate::suspects::{Suspects, Turn};
use crate::takeover::{HOLD, Judgement, judge};
use crate::words;

/// Decides about publishers.
pub(crate) struct Admission {
    pub(crate) api: Api,
    pub(crate) directory: Arc<dyn StreamDirectory>,
    pub(crate) judges: Judges,
    pub(crate) known_keys: KnownKeys,
    pub(crate) guesses: Guesses,
    pub(crate) suspects: Suspects,
    pub(crate) metrics: Metrics,
    pub(crate) seats: Seats,
    pub(crate) contenders: Contenders,
    pub(crate) outage: Outage,
    /// What a second publisher means, where this router's settings say so.
    pub(crate) second_publisher: Option<SecondPublisher>,
    /// This router's name in the directory.
    pub(crate) this_router: String,
    pub(crate) reconnect_window: Duration,
    pub(crate) traces: Traces,
}

/// A publisher at the door.
#[derive(Clone, Debug)]
pub(crate) struct Applicant {
    pub(crate) key: StreamKey,
    pub(crate) app: App,
    pub(crate) placement: Placement,
    /// Its address, where that is known to be real.
    pub(crate) remote: Option<IpAddr>,
    pub(crate) session: SessionId,
}

/// The application that a publisher named. Another one than ours may be a stream key that was typed into the wrong field, so
/// that it is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// `live`.
    Live,
    Other,
}

/// Where the publisher's key stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Where it belongs, and nothing around it.
    Usual,
    /// Elsewhere, or something else stood in its place.
    Odd,
}

impl Applicant {
    /// Whoever sent `request` over `session`, from `remote` where that is known to be real.
    pub(crate) fn new(request: &PublishRequested, remote: Option<IpAddr>, session: SessionId) -> Self {
        let keys = || request.candidates().iter().map(|candidate| StreamKey::new(candidate.expose()));
        // What looks like a key is one; of what does not, the usual place decides.
        let key = keys().find(StreamKey::is_well_formed);
        let key = key.unwrap_or_else(|| StreamKey::new(request.key().expose()));
        let app = if request.app == LIVE { App::Live } else { App::Other };
        let alone = request.candidates().iter().all(|text| [key.reveal(), LIVE].contains(&text.expose()));
        let usual = app == App::Live && alone && request.name.expose() == key.reveal();
        Self { key, app, placement: if usual { Placement::Usual } else { Placement::Odd }, remote, session }
    }
}

impl App {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Live => LIVE,
            Self::Other => "other",
        }
    }
}

/// It is in: the directory names it as the stream's publisher.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) record: Arc<LiveStream>,
    pub(crate) generation: Generation,
    pub(crate) seat: Seat,
}

/// It is not.
#[derive(Clone, Debug)]
pub(crate) enum NotAdmitted {
    /// And is told why.
    Refused {
        refusal: Refusal,
        reason: RefusalReason,
        message: String,
        /// None where nobody knew the key.
        broadcast: Option<Broadcast>,
    },
    /// It did not wait for the answer.
    Gone,
}

/// What the key of a refused publisher is for, so that the log says whose publisher it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broadcast {
    pub(crate) stream: StreamId,
    pub(crate) channel: String,
}

impl NotAdmitted {
    fn with(mut self, known: &Broadcast) -> Self {
        if let Self::Refused { broadcast, .. } = &mut self {
            *broadcast = Some(known.clone());
        }
        self
    }
}

/// Where an authorized publisher stands with the directory.
enum Standing {
    Taken {
        record: Arc<LiveStream>,
        generation: Generation,
        seat: Seat,
    },
    /// This stream takes no publisher any more: the api is asked for a new one.
    Over(StreamId),
}

impl Admission {
    /// Decides about `applicant`, who has a seat once it is in, and not before; gives up when `gone` resolves, as long as
    /// nothing has been decided.
    pub(crate) async fn admit(
        &self,
        applicant: &Applicant,
        gone: impl Future<Output = ()>,
    ) -> Result<Admitted, NotAdmitted> {
        let mut gone = pin!(gone);
        let hash = KeyHash::of(&applicant.key);
        let mut turn = self.turn(applicant, &hash, gone.as_mut()).await?;
        let mut ended = None;
        let mut known = None;
        for _ in 0..MAX_STREAMS_TRIED {
            let request = AuthorizeRequest {
                key: applicant.key.clone(),
                app: applicant.app.word().to_owned(),
                remote: applicant.remote,
                session: applicant.session,
                ended,
            };
            let answer = tokio::select! {
                answer = self.api.authorize(&request) => answer,
                () = gone.as_mut() => return Err(NotAdmitted::Gone),
            };
            drop(turn.take());
            let standing = match answer {
                Answer::Authorized(authorized) => {
                    let streams = self.directory.watch().borrow().clone();
                    self.known_keys.accept(authorized.stream, &streams).await;
                    let Authorized { stream, channel, .. } = &*authorized;
                    let broadcast = known.insert(Broadcast { stream: *stream, channel: channel.clone() });
                    let place = async {
                        let _contender = self.only_one(authorized.stream, gone.as_mut()).await?;
                        self.place(&authorized, applicant, &hash, gone.as_mut()).await
                    };
                    place.await.map_err(|error| error.with(broadcast))?
                }
                Answer::Denied(denied) => {
                    let streams = self.directory.watch().borrow().clone();
                    self.known_keys.refuse(&hash, &streams).await;
                    return Err(self.denied(denied, applicant, &hash).await);
                }
                Answer::Unavailable(problem) => {
                    let streams = self.directory.watch().borrow().clone();
                    let Some(record) = self.known_keys.stream_anywhere(&hash, &streams).await else {
                        tracing::warn!(problem, "the api cannot say whether a publisher may publish");
                        return Err(unavailable(words::KEYS_UNCHECKED));
                    };
                    tracing::warn!(problem, stream = %record.spec.stream, "the api is away; the key's stream is open");
                    let Spec { stream, channel, .. } = &record.spec;
                    let broadcast = known.insert(Broadcast { stream: *stream, channel: channel.clone() });
                    let place = async {
                        let _contender = self.only_one(broadcast.stream, gone.as_mut()).await?;
                        let policy = SecondPublisher::default();
                        self.contend(record, policy, applicant, &hash, gone.as_mut()).await
                    };
                    place.await.map_err(|error| error.with(broadcast))?
                }
            };
            match standing {
                Standing::Taken { record, generation, seat } => {
                    return Ok(Admitted { record, generation, seat });
                }
                Standing::Over(stream) => ended = Some(stream),
            }
        }
        let refused = refused(Refusal::Rejected, RefusalReason::Unavailable, words::STILL_CLOSING);
        Err(known.iter().fold(refused, NotAdmitted::with))
    }

    /// Waits until nobody else tries to become the publisher of `stream`, for as long as one contender may be held.
    async fn only_one(
        &self,
        stream: StreamId,
        gone: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Contender<'_>, NotAdmitted> {
        tokio::select! {
            entered = timeout(HOLD, self.contenders.enter(stream)) => entered
                .map_err(|_| refused(Refusal::BadName, RefusalReason::AlreadyLive, words::RIVALS)),
            () = gone => Err(NotAdmitted::Gone),
        }
    }

    /// A seat, for the moment in which the directory is asked to make its holder the publisher. Whoever is still being
    /// judged has none, so that many connections with one key take no seats from other people.
    fn seat(&self, guest: Guest) -> Result<Seat, NotAdmitted> {
        self.seats.take(guest).map_err(|full| {
            let reason = match full {
                Full::Seats => {
                    tracing::warn!("every seat for a publisher is taken");
                    RefusalReason::TooManyPublishers
                }
                Full::Memory => {
                    tracing::warn!(
                        "this router's memory limit leaves no room for the media of another publisher"
                    );
                    RefusalReason::NoMemory
                }
            };
            refused(Refusal::Rejected, reason, words::NO_SEAT)
        })
    }

    /// Waits until the api may be asked about this key. A key whose broadcast is open never waits; one that does not look
    /// like a key gets no turn behind an address that guesses.
    async fn turn(
        &self,
        applicant: &Applicant,
        hash: &KeyHash,
        gone: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Option<Turn<'_>>, NotAdmitted> {
        let Some(remote) = applicant.remote else { return Ok(None) };
        let is_open = self.known_keys.stream(hash, &self.directory.watch().borrow()).is_some();
        if is_open || self.guesses.allow(remote, hash).await {
            return Ok(None);
        }
        if !applicant.key.is_well_formed() {
            return Err(refused(Refusal::Denied, RefusalReason::Guessing, words::GUESSING));
        }
        tokio::select! {
            turn = self.suspects.turn(Origin::from(remote)) => match turn {
                Some(turn) => Ok(Some(turn)),
                None => Err(refused(Refusal::Rejected, RefusalReason::Guessing, words::MANY_GUESSES)),
            },
            () = gone => Err(NotAdmitted::Gone),
        }
    }

    async fn denied(&self, denied: Denied, applicant: &Applicant, hash: &KeyHash) -> NotAdmitted {
        let reason = match denied.code {
            DenialCode::UnknownKey => {
                if let Some(remote) = applicant.remote {
                    self.guesses.wrong(remote, hash).await;
                }
                RefusalReason::UnknownKey
            }
            DenialCode::Banned => RefusalReason::Banned,
            DenialCode::Held => RefusalReason::Held,
        };
        let message = match applicant.placement {
            Placement::Odd if reason == RefusalReason::UnknownKey => {
                format!("{} {}", denied.message, words::MISPLACED)
            }
            Placement::Usual | Placement::Odd => denied.message,
        };
        refused(Refusal::Denied, reason, message)
    }

    /// Finds the place of an authorized publisher: a new stream, or the one that it or somebody else has opened.
    async fn place(
        &self,
        authorized: &Authorized,
        applicant: &Applicant,
        hash: &KeyHash,
        gone: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Standing, NotAdmitted> {
        let record = if let Some(record) = self.directory.get(authorized.stream) {
            record
        } else {
            let seat = self.seat(Guest::New)?;
            let opened = self.directory.open(self.spec(authorized, applicant, hash)).await;
            if !matches!(opened, Err(OpenError::Unavailable(_))) {
                self.outage.decided();
            }
            match opened {
                Ok(record) => {
                    return Ok(Standing::Taken { record, generation: FIRST_GENERATION, seat });
                }
                Err(OpenError::Exists(record)) => record,
                Err(OpenError::NoCapacity) => {
                    tracing::warn!(
                        "as many broadcasts are live as are allowed: by CAUDAL_MAX_STREAMS, or by maxWorkers of the WorkerPool"
                    );
                    return Err(refused(Refusal::Rejected, RefusalReason::NoCapacity, words::NO_CAPACITY));
                }
                Err(OpenError::NoPool(pool)) => {
                    tracing::error!(
                        pool,
                        "the api names a WorkerPool that there is not; nobody is let in for it"
                    );
                    return Err(refused(Refusal::Rejected, RefusalReason::NoPool, words::NO_POOL));
                }
                Err(OpenError::Unavailable(error)) => {
                    self.outage.not_decided(authorized.stream, &error);
                    return Err(unavailable(words::CANNOT_START));
                }
            }
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
    ) -> Result<Standing, NotAdmitted> {
        let policy = self.second_publisher.unwrap_or(policy);
        let stream = record.spec.stream;
        let mut since = Instant::now();
        for _ in 0..MAX_RIVALS {
            if !record.is_open() {
                return Ok(Standing::Over(stream));
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
                            words::ALREADY_LIVE,
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
                relay: None,
                refused: None,
            };
            let generation = ingest.generation;
            let seat = self.seat(Guest::Returning)?;
            let reconnected = self.directory.reconnect(stream, ingest).await;
            if !matches!(reconnected, Err(ReconnectError::Unavailable(_))) {
                self.outage.decided();
            }
            match reconnected {
                Ok(record) => {
                    self.metrics.takeovers.inc();
                    self.contenders.returned(stream, Instant::now());
                    return Ok(Standing::Taken { record, generation, seat });
                }
                Err(ReconnectError::Stale(_)) => {
                    drop(seat);
                    // A rival was faster, and has the same claim to be judged fairly.
                    since = Instant::now();
                    match self.newer(stream, generation).await {
                        Some(newer) => record = newer,
                        None => return Ok(Standing::Over(stream)),
                    }
                }
                Err(ReconnectError::Over(_) | ReconnectError::Unknown) => return Ok(Standing::Over(stream)),
                Err(ReconnectError::Unavailable(error)) => {
                    self.outage.not_decided(stream, &error);
                    return Err(unavailable(words::CANNOT_CONNECT));
                }
            }
        }
        Err(refused(Refusal::BadName, RefusalReason::AlreadyLive, words::RIVALS))
    }

    /// The record of `stream` once it shows `generation` or a later one: a directory may lag behind what it refused.
    async fn newer(&self, stream: StreamId, generation: Generation) -> Option<Arc<LiveStream>> {
        let mut streams = self.directory.watch();
        let shows = |record: &Arc<LiveStream>| record.spec.ingest.generation >= generation;
        let caught_up = async {
            let seen = streams.wait_for(|streams| streams.get(&stream).is_none_or(shows)).await;
            seen.ok().and_then(|streams| streams.get(&stream).cloned())
        };
        match timeout(HOLD, caught_up).await {
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
            pool: authorized.pool.clone(),
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
                relay: None,
                refused: None,
            },
        }
    }
}

fn refused(refusal: Refusal, reason: RefusalReason, message: impl Into<String>) -> NotAdmitted {
    NotAdmitted::Refused { refusal, reason, message: message.into(), broadcast: None }
}

fn unavailable(words: &'static str) -> NotAdmitted {
    refused(Refusal::Rejected, RefusalReason::Unavailable, words)
}

/// The application of the addresses that we give out.
const LIVE: &str = "live";
/// [`StreamDirectory::open`]'s.
const FIRST_GENERATION: Generation = Generation(1);
/// A stream that has ended, and the one that the api opens for it; once more for an end in that very moment.
const MAX_STREAMS_TRIED: usize = 3;
/// Publishers that may be faster than this one before it gives up.
const MAX_RIVALS: usize = 3;
