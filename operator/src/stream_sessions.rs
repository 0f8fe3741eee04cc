//! Storage credentials of streams: a session of a role for each, kept for as long as it is fresh.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use caudal_controller::{CredentialSource, Fresh, NoCredentials};
use caudal_livestream::{StreamId, UnixMillis};
use caudal_storage::{RoleSessions, StreamCredentials};
use futures::future::BoxFuture;
use tokio::time::Instant;

/// The sessions that one leader has made. The next leader makes its own, so nothing of them is stored anywhere.
pub(crate) struct StreamSessions {
    role: RoleSessions,
    // Held for map operations only. A stream's own lock is held while its session is made: whoever needs it too waits for that one.
    streams: Mutex<HashMap<StreamId, Arc<Slot>>>,
}

type Slot = tokio::sync::Mutex<Option<Session>>;

struct Session {
    credentials: StreamCredentials,
    renew_at: Instant,
    useless_at: Instant,
}

impl StreamSessions {
    pub(crate) fn new(role: RoleSessions) -> Self {
        Self { role, streams: Mutex::default() }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Slot>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialSource for StreamSessions {
    fn credentials(&self, stream: StreamId) -> BoxFuture<'_, Result<Fresh, NoCredentials>> {
        let slot = Arc::clone(self.streams().entry(stream).or_default());
        Box::pin(async move {
            let mut slot = slot.lock().await;
            let now = Instant::now();
            if let Some(Session { credentials, renew_at, .. }) = slot.as_ref().filter(|it| it.renew_at > now)
            {
                return Ok(Fresh { credentials: credentials.clone(), renew_in: *renew_at - now });
            }
            match self.role.of(stream).await {
                Ok(credentials) => {
                    let (asked, now) = (self.role.duration(), Instant::now());
                    let life = life(asked, credentials.expires, SystemTime::now());
                    let renew_in = renew_in(life, rand::random());
                    let session = Session {
                        credentials: credentials.clone(),
                        renew_at: now + renew_in,
                        useless_at: now + life.saturating_sub(LEAST_LEFT),
                    };
                    *slot = Some(session);
                    Ok(Fresh { credentials, renew_in })
                }
                Err(error) => {
                    let held = slot.as_ref().filter(|session| session.useless_at > now);
                    Err(NoCredentials {
                        reason: error.in_short(),
                        detail: error.to_string(),
                        held: held.map(|session| session.credentials.clone()),
                    })
                }
            }
        })
    }

    fn forget(&self, stream: StreamId) {
        self.streams().remove(&stream);
    }
}

/// How long a session that was just made holds: as long as was asked for, or shorter if the STS says so. Its clock may be another one.
fn life(asked: Duration, expires: UnixMillis, now: SystemTime) -> Duration {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let expires = Duration::from_millis(u64::try_from(expires.0).unwrap_or(0));
    expires.saturating_sub(now).min(asked)
}

/// When half of that is over, or up to a tenth of the life before, by `jitter` from 0 to 1: streams that began together are not renewed
/// together for ever.
fn renew_in(life: Duration, jitter: f64) -> Duration {
    life.mul_f64(0.5 - 0.1 * jitter.clamp(0.0, 1.0)).max(SOONEST)
}

/// What a worker must have of them to be worth assigning: it begins, and is sent others.
const LEAST_LEFT: Duration = Duration::from_secs(60);
/// Also where an STS gives sessions that are over already, or a clock is wrong.
const SOONEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_session_is_renewed_at_half_of_the_shorter_of_what_was_asked_and_what_was_given() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (expires_in, jitter, seconds) in [
            (3600, 0.0, 1800),
            (3600, 1.0, 1440),
            (3600, 0.5, 1620),
            // The STS's clock is ahead, or it gives more than was asked for.
            (4200, 0.0, 1800),
            // It gives less.
            (900, 0.0, 450),
            // What it gives is over by our clock: tried again soon, but never at once.
            (-60, 0.0, 5),
            (0, 1.0, 5),
        ] {
            let life = life(HOUR, UnixMillis((1_800_000_000 + expires_in) * 1000), now);
            assert_eq!(renew_in(life, jitter).as_secs(), seconds, "{expires_in} {jitter}");
        }
    }
}
