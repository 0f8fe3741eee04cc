//! What the API server's clock says, against this machine's: deadlines are stored as wall time, and the next leader may run on a
//! machine whose clock is off.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use caudal_controller::WallClock;
use caudal_kubernetes::calls::{Failure, call_at_once};
use http::{HeaderMap, Request, header};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822;
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, sleep};

/// This machine's wall clock, set by as much as the API server's is ahead of it (or behind).
#[derive(Clone)]
pub struct ServerClock {
    machine: WallClock,
    ahead_ms: Arc<AtomicI64>,
}

impl ServerClock {
    /// Asks the server once.
    ///
    /// # Errors
    /// When the server cannot be asked, or does not say what time it is.
    pub async fn measured(client: &Client, machine: &WallClock) -> Result<Self, Failure> {
        let clock = Self { machine: Arc::clone(machine), ahead_ms: Arc::default() };
        let (ahead_ms, _) = clock.measure(client).await?;
        clock.correct(ahead_ms);
        Ok(clock)
    }

    /// What the server's clock says.
    pub fn wall(&self) -> WallClock {
        let Self { machine, ahead_ms } = self.clone();
        Arc::new(move || {
            let (now, ahead_ms) = (machine(), ahead_ms.load(Ordering::Relaxed));
            let by = Duration::from_millis(ahead_ms.unsigned_abs());
            let set = if ahead_ms > 0 { now.checked_add(by) } else { now.checked_sub(by) };
            set.unwrap_or(now)
        })
    }

    /// Asks again each minute, because this machine's clock or the server's may be set meanwhile; never ends. `term` goes by what comes of it.
    pub(crate) async fn follow(self, client: Client, term: TermClock) {
        let wall = self.wall();
        loop {
            sleep(EACH).await;
            match self.measure(&client).await {
                Ok((ahead_ms, took)) if took <= SOON => {
                    self.correct(ahead_ms);
                    term.correct(&wall);
                }
                // An answer may be as old as the question. What was measured before is better than that.
                Ok((_, took)) => tracing::debug!(?took, "the API server takes too long to tell the time"),
                Err(error) => tracing::debug!(%error, "the API server's clock cannot be read again"),
            }
        }
    }

    /// By how much the server is ahead, and how long the answer took.
    async fn measure(&self, client: &Client) -> Result<(i64, Duration), Failure> {
        let request = Request::get("/version").body(Body::empty());
        let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
        let (asked, before) = (Instant::now(), (self.machine)());
        let answer = call_at_once(client.send(request)).await?;
        let (took, after) = (asked.elapsed(), (self.machine)());
        let said = date(answer.headers());
        let said = said.ok_or_else(|| Failure::Unavailable("it does not say what time it is".to_owned()))?;
        let ours = millis(before).midpoint(millis(after));
        // The header has whole seconds; in the middle of one it is right by half a second.
        Ok((said.as_millisecond().saturating_add(500).saturating_sub(ours), took))
    }

    fn correct(&self, ahead_ms: i64) {
        let known = self.ahead_ms.load(Ordering::Relaxed);
        if ahead_ms.saturating_sub(known).abs() >= NOTICEABLE_MS {
            tracing::warn!(
                offset_ms = ahead_ms,
                "the API server's clock is not this machine's; its one counts for deadlines"
            );
            self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        }
    }
}

/// The server's time in a term, for the ages of its objects. It goes on with this machine's monotonic clock, so that nobody who sets the wall clock here
/// makes a pod older.
#[derive(Clone, Debug)]
pub(crate) struct TermClock {
    began_ms: Arc<AtomicI64>,
    since: Instant,
}

impl TermClock {
    /// As it is by now by the server's clock.
    pub(crate) fn start(wall: &WallClock) -> Self {
        Self { began_ms: Arc::new(caudal_controller::wall_now(wall).0.into()), since: Instant::now() }
    }

    /// Since 1970.
    pub(crate) fn seconds(&self) -> i64 {
        self.millis().div_euclid(1_000)
    }

    /// The server's own clock was set, if it is off by this much.
    fn correct(&self, wall: &WallClock) {
        let off_ms = caudal_controller::wall_now(wall).0.saturating_sub(self.millis());
        if off_ms.abs() >= SET_MS {
            self.began_ms.fetch_add(off_ms, Ordering::Relaxed);
        }
    }

    fn millis(&self) -> i64 {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.began_ms.load(Ordering::Relaxed).saturating_add(passed)
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    Some(rfc2822::parse(date).ok()?.timestamp())
}

fn millis(at: SystemTime) -> i64 {
    let at: WallClock = Arc::new(move || at);
    caudal_controller::wall_now(&at).0
}

/// Two of the header's seconds may lie between two machines whose clocks agree.
const NOTICEABLE_MS: i64 = 1_500;
/// More than what two measurements of the same clocks may differ by.
const SET_MS: i64 = 2_000;
const EACH: Duration = Duration::from_mins(1);
/// An answer that took longer is off by more than a header of whole seconds.
const SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;
    use std::time::UNIX_EPOCH;

    use tokio::time::timeout;

    use super::*;

    /// A server whose clock says this.
    pub(crate) fn server(date: &'static str) -> Client {
        let service = tower::service_fn(move |_request: Request<Body>| async move {
            let answer = http::Response::builder().header(header::DATE, date).body(Body::empty());
            Ok::<_, Infallible>(answer.unwrap())
        });
        Client::new(service, "caudal")
    }

    #[tokio::test]
    async fn a_machine_whose_clock_is_half_a_minute_off_goes_by_the_servers() {
        // 2026-11-27 12:00:00 UTC.
        let noon = UNIX_EPOCH + Duration::from_secs(1_795_780_800);
        for off in [-30_i64, -1, 0, 1, 30] {
            let ours = noon + Duration::from_secs(60) - Duration::from_secs(u64::try_from(60 - off).unwrap());
            let wall: WallClock = Arc::new(move || ours);
            let clock = ServerClock::measured(&server("Fri, 27 Nov 2026 12:00:00 GMT"), &wall).await.unwrap();
            let apart = millis(clock.wall()()) - millis(noon);
            assert!(apart.abs() <= 1_500, "{off}: {apart}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_whose_clock_is_put_right_meanwhile_goes_by_the_servers_again() {
        // 2026-11-27 12:00:00 UTC.
        let noon = UNIX_EPOCH + Duration::from_secs(1_795_780_800);
        let ahead = Arc::new(AtomicI64::new(30));
        let machine = Arc::clone(&ahead);
        let wall: WallClock = Arc::new(move || {
            noon + Duration::from_secs(u64::try_from(machine.load(Ordering::Relaxed)).unwrap())
        });
        let server = server("Fri, 27 Nov 2026 12:00:00 GMT");
        let clock = ServerClock::measured(&server, &wall).await.unwrap();
        let servers = clock.wall();
        let term = TermClock::start(&servers);
        ahead.store(0, Ordering::Relaxed);
        assert!(millis(servers()) - millis(noon) < -20_000);
        let began = term.seconds();
        assert!(timeout(EACH * 3 / 2, clock.clone().follow(server, term.clone())).await.is_err());
        // This server's stood still until it was asked, and the term's is what that said.
        let passed = term.seconds() - began;
        assert!((28..=32).contains(&passed), "{passed}");
        let apart = millis(servers()) - millis(noon);
        assert!(apart.abs() <= 1_500, "{apart}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_say_what_time_it_is_is_no_clock() {
        let wall: WallClock = Arc::new(SystemTime::now);
        for date in ["", "yesterday"] {
            assert!(ServerClock::measured(&server(date), &wall).await.is_err(), "{date}");
        }
    }
}
