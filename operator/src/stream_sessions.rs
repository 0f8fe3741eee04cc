//! Storage credentials of streams: a session of a role for each, kept for as long as it is fresh.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use caudal_controller::{CredentialSource, Fresh, NoCredentials};
use caudal_livestream::{StreamId, UnixMillis};
use caudal_storage::{Need, RoleSessions, StreamCredentials};
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The sessions that one leader has made. The next leader makes its own, so nothing of them is stored anywhere.
pub(crate) struct StreamSessions {
    role: RoleSessions,
    // These two are held for operations of their own only, never across an await.
    streams: Mutex<HashMap<StreamId, Arc<Slot>>>,
    /// Renewals that were due when somebody took the session, and nobody waits for. They end with this.
    beside: Mutex<JoinSet<()>>,
}

/// One stream's session.
#[derive(Default)]
struct Slot {
    session: Mutex<Option<Session>>,
    /// Held while a session is made for whoever waits with a broadcast. Whoever needs one too waits for that one.
    first: tokio::sync::Mutex<()>,
    /// The same for a renewal, which may have to let others go first.
    renewal: tokio::sync::Mutex<()>,
}

struct Session {
    credentials: StreamCredentials,
    renew_at: Instant,
    useless_at: Instant,
}

impl StreamSessions {
    pub(crate) fn new(role: RoleSessions) -> Self {
        Self { role, streams: Mutex::default(), beside: Mutex::default() }
    }

    fn slot(&self, stream: StreamId) -> Arc<Slot> {
        Arc::clone(locked(&self.streams).entry(stream).or_default())
    }

    fn renew_beside(&self, stream: StreamId, slot: Arc<Slot>) {
        if slot.renewal.try_lock().is_err() {
            return;
        }
        let role = self.role.clone();
        let mut beside = locked(&self.beside);
        while beside.try_join_next().is_some() {}
        beside.spawn(async move {
            if let Err(error) = slot.made(&role, stream, Need::Renewal).await {
                tracing::warn!(%error, %stream, "a stream's session is not renewed; its workers ask again");
            }
        });
    }
}

impl Slot {
    /// The session, where it will do for that.
    fn fit_for(&self, need: Need) -> Option<Fresh> {
        let now = Instant::now();
        let session = locked(&self.session);
        let session = session.as_ref().filter(|session| match need {
            Need::First => session.useless_at > now,
            Need::Renewal => session.renew_at > now,
        })?;
        let renew_in = session.renew_at.saturating_duration_since(now);
        Some(Fresh { credentials: session.credentials.clone(), renew_in })
    }

    /// One that will, made if need be.
    async fn made(&self, role: &RoleSessions, stream: StreamId, need: Need) -> Result<Fresh, NoCredentials> {
        let alone = match need {
            Need::First => &self.first,
            Need::Renewal => &self.renewal,
        };
        let _alone = alone.lock().await;
        if let Some(fresh) = self.fit_for(need) {
            return Ok(fresh);
        }
        let credentials = role.of(stream, need).await;
        let credentials = credentials
            .map_err(|error| NoCredentials { reason: error.in_short(), detail: error.to_string() })?;
        Ok(self.keep(credentials, role.duration()))
    }

    fn keep(&self, mut credentials: StreamCredentials, asked: Duration) -> Fresh {
        let life = life(asked, credentials.expires, SystemTime::now());
        let (now, renew_in) = (Instant::now(), renew_in(life, rand::random()));
        let mut session = locked(&self.session);
        if let Some(before) = session.as_ref() {
            // The clock may have been set back, and workers take only what was made later.
            credentials.issued =
                credentials.issued.max(UnixMillis(before.credentials.issued.0.saturating_add(1)));
        }
        *session = Some(Session {
            credentials: credentials.clone(),
            renew_at: now + renew_in,
            useless_at: now + life.saturating_sub(LEAST_LEFT),
        });
        Fresh { credentials, renew_in }
    }
}

impl CredentialSource for StreamSessions {
    fn credentials(&self, stream: StreamId) -> BoxFuture<'_, Result<StreamCredentials, NoCredentials>> {
        Box::pin(async move {
            let slot = self.slot(stream);
            let Some(held) = slot.fit_for(Need::First) else {
                return Ok(slot.made(&self.role, stream, Need::First).await?.credentials);
            };
            if slot.fit_for(Need::Renewal).is_none() {
                self.renew_beside(stream, slot);
            }
            Ok(held.credentials)
        })
    }

    fn renewed(&self, stream: StreamId) -> BoxFuture<'_, Result<Fresh, NoCredentials>> {
        Box::pin(async move { self.slot(stream).made(&self.role, stream, Need::Renewal).await })
    }

    fn forget(&self, stream: StreamId) {
        locked(&self.streams).remove(&stream);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What a worker must have of them to be worth assigning: it begins, and is sent others within its first minute, or somewhat later where
/// the STS is slow.
const LEAST_LEFT: Duration = Duration::from_secs(120);
/// Also where an STS gives sessions that are over already, or a clock is wrong.
const SOONEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use caudal_storage::{RoleConfig, S3Access, S3Config, S3Credentials};
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

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

    /// With an STS whose answers the test gives, one to a connection.
    async fn with_sts() -> (TcpListener, StreamSessions) {
        let sts = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keys = S3Credentials {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            session_token: None,
        };
        let bucket = S3Config {
            bucket: "media".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(format!("http://{}", sts.local_addr().unwrap())),
            allow_http: true,
            access: S3Access::Keys(keys),
        };
        let role_arn = "arn:aws:iam::123456789012:role/caudal-worker".to_owned();
        let role = RoleConfig { role_arn, duration: HOUR, endpoint: None, region: None };
        (sts, StreamSessions::new(RoleSessions::new(&bucket, role).unwrap()))
    }

    /// Waits until the STS is asked, and gives it this session.
    async fn gives(sts: &TcpListener, id: &str) {
        let (mut asked, _) = sts.accept().await.unwrap();
        let _ = asked.read(&mut vec![0; 16 * 1024]).await.unwrap();
        let body = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        let length = body.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        asked.write_all(answer.as_bytes()).await.unwrap();
    }

    /// The stream has a session that is due to be renewed, and useless so much later.
    fn is_due(sessions: &StreamSessions, stream: StreamId, useless_in: Duration) {
        let credentials = StreamCredentials {
            access_key_id: "old".to_owned(),
            secret_access_key: "s".to_owned(),
            session_token: "t".to_owned(),
            issued: UnixMillis(i64::MAX / 2),
            expires: UnixMillis(i64::MAX),
        };
        let now = Instant::now();
        let session = Session { credentials, renew_at: now, useless_at: now + useless_in };
        *locked(&sessions.slot(stream).session) = Some(session);
    }

    #[tokio::test]
    async fn a_session_that_holds_long_enough_is_given_at_once_and_renewed_beside() {
        let (sts, sessions) = with_sts().await;
        let stream = StreamId::generate();
        is_due(&sessions, stream, HOUR);
        let given = sessions.credentials(stream).now_or_never().expect("nobody waits for the STS").unwrap();
        assert_eq!(given.access_key_id, "old");
        gives(&sts, "new").await;
        // Waits for the renewal that was begun: nobody answers another request.
        let renewed = sessions.renewed(stream).await.unwrap();
        assert_eq!(renewed.credentials.access_key_id, "new");
        assert_eq!(renewed.credentials.issued.0, i64::MAX / 2 + 1, "later, although the clock was set back");
        let given = sessions.credentials(stream).now_or_never().unwrap().unwrap();
        assert_eq!(given, renewed.credentials);
    }

    #[tokio::test]
    async fn a_first_session_or_one_in_place_of_a_useless_one_is_waited_for_but_never_behind_a_renewal() {
        let (sts, sessions) = with_sts().await;
        for held_before in [false, true] {
            let stream = StreamId::generate();
            if held_before {
                is_due(&sessions, stream, Duration::ZERO);
            }
            let renewal = sessions.renewed(stream);
            let unanswered = async { sts.accept().await.unwrap() };
            tokio::pin!(renewal);
            let _unanswered = tokio::select! {
                _ = &mut renewal => panic!("nobody has answered"),
                asked = unanswered => asked,
            };
            let (given, ()) = tokio::join!(sessions.credentials(stream), gives(&sts, "made"));
            assert_eq!(given.unwrap().access_key_id, "made");
        }
    }
}
