//! A part's process, beside the part itself: health, metrics, what it says, and its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use caudal_directory::LocalDirectory;
use caudal_kubernetes::calls;
use caudal_service::health::{self, Readiness};
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_service::internal::{Signer, until_the_api_is_heard};
use caudal_traces::Traces;
use prometheus::{IntGauge, Registry};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::directory_copy::DirectoryCopy;
use super::listeners::at;
use super::tasks::Tasks;
use super::terminal::{Place, Terminal};
use super::traced;
use crate::settings::{DirectorySetting, Role, Settings};

/// How a process says that it takes part.
#[derive(Clone)]
pub struct Ready {
    pub readiness: Readiness,
    terminal: Arc<Terminal>,
    leave: CancellationToken,
}

impl Ready {
    /// Not once the process is to leave.
    pub fn now(&self) {
        if !self.leave.is_cancelled() {
            self.readiness.set(true);
            self.terminal.ready();
        }
    }
}

/// What each of these processes has beside its part.
pub struct Process {
    pub tasks: Tasks,
    pub registry: Registry,
    pub ready: Ready,
    /// Ends what is needed until the part has ended: health, metrics, the certificate.
    pub last: CancellationToken,
    /// How long the part may take to end by itself.
    pub end_within: Duration,
}

impl Process {
    /// Serves health and metrics, and says so beside the part's own `places`, and whom it asks.
    pub fn start(
        role: Role,
        admin: TcpListener,
        settings: &Settings,
        mut places: Vec<Place>,
    ) -> anyhow::Result<Self> {
        let (registry, readiness, last) = (Registry::new(), Readiness::default(), CancellationToken::new());
        let own = places.iter().position(|place| !place.is_listener()).unwrap_or(places.len());
        let (controller, api) = (&settings.internal_controller_url, &settings.internal_api_url);
        let asked = [
            ("controller", "CAUDAL_INTERNAL_CONTROLLER_URL", controller),
            ("api", "CAUDAL_INTERNAL_API_URL", api),
        ];
        let is_asked = |name: &str| {
            let of_controller = name == "CAUDAL_INTERNAL_CONTROLLER_URL";
            role.has(name) && !(of_controller && settings.directory == DirectorySetting::Kubernetes)
        };
        let asked = asked.into_iter().filter(|(_, name, _)| is_asked(name));
        let asked = asked.filter_map(|(what, _, url)| Some(Place::asks(what, url.as_ref()?.as_str())));
        let metrics = Place::listens("metrics", format!("{}/metrics", at(&admin)?));
        places.splice(own..own, std::iter::once(metrics).chain(asked));
        tracing::info!(admin = %admin.local_addr()?, "{role} starts");
        let terminal = Arc::new(Terminal::new(role, settings));
        terminal.listening(&places, settings);
        let mut tasks = Tasks::default();
        let routes = health::routes(readiness.clone(), registry.clone());
        let server = HttpServer::new(admin, HttpLimits::default());
        tasks.spawn("admin listener", server.serve(routes, last.clone()));
        Ok(Self {
            tasks,
            registry,
            ready: Ready { readiness, terminal, leave: CancellationToken::new() },
            last,
            end_within: END_WITHIN,
        })
    }

    /// Says by a metric whether the copy follows the controller, or the API server, and to whoever asks for readiness what is in
    /// the way.
    pub fn follow(&mut self, directory: &DirectoryCopy) -> anyhow::Result<()> {
        let follows = IntGauge::new(
            "caudal_directory_up_to_date",
            "1 while the copy of the stream directory follows the controller, or in a cluster the API server",
        )?;
        self.registry.register(Box::new(follows.clone()))?;
        if let DirectoryCopy::Kubernetes(_) = directory {
            calls::register_failures(&self.registry)?;
        }
        let (directory, stop) = (directory.clone(), self.last.clone());
        let readiness = self.ready.readiness.clone();
        self.tasks.spawn("watch on the controller", async move {
            let watched = async {
                let mut so_far = false;
                loop {
                    so_far = directory.follows(so_far).await;
                    follows.set(i64::from(so_far));
                }
            };
            let both = async {
                tokio::select! {
                    () = watched => {}
                    never = directory.tell_obstacles(|obstacle| readiness.set_obstacle(obstacle)) => match never {},
                }
            };
            stop.run_until_cancelled(both).await;
            Ok::<_, Infallible>(())
        });
        Ok(())
    }

    /// Says that no more requests are wanted from when it is to `leave`, which may be a while before its end.
    pub fn leave(&mut self, leave: CancellationToken) {
        self.ready.leave = leave.clone();
        let (readiness, stop) = (self.ready.readiness.clone(), self.last.clone());
        self.tasks.spawn("leaving", async move {
            if stop.run_until_cancelled(leave.cancelled()).await.is_some() {
                readiness.set(false);
                stop.cancelled().await;
            }
            Ok::<_, Infallible>(())
        });
    }

    /// What the part's spans are made with. They are sent until the part has ended.
    pub fn traces(&mut self, role: Role, settings: &Settings) -> anyhow::Result<Traces> {
        traced::among(&mut self.tasks, &settings.traces, role.name(), &self.registry, self.last.clone())
    }

    /// Says early what would be in a publisher's way.
    pub fn look_for_api(&mut self, url: String, signer: Signer) {
        let stop = self.last.clone();
        self.tasks.spawn("way to the api", async move {
            let heard = stop.run_until_cancelled(until_the_api_is_heard(&url, signer)).await;
            heard.transpose()?;
            stop.cancelled().await;
            Ok::<_, anyhow::Error>(())
        });
    }

    /// A line for each thing that happens to a stream.
    pub fn tell_of_streams(&mut self, directory: Arc<LocalDirectory>) {
        let (terminal, stop) = (Arc::clone(&self.ready.terminal), self.last.clone());
        self.tasks.spawn("lines of stream events", async move {
            stop.run_until_cancelled(terminal.tell_of_streams(&directory)).await;
            stop.cancelled().await;
            Ok::<_, Infallible>(())
        });
    }

    /// Runs the part until it has ended because of `shutdown`, or because something beside it failed.
    pub async fn until<E: Into<anyhow::Error>>(
        &mut self,
        shutdown: &CancellationToken,
        part: impl Future<Output = Result<(), E>>,
    ) -> anyhow::Result<()> {
        tokio::pin!(part);
        let ending = shutdown.clone();
        let (readiness, end_within) = (self.ready.readiness.clone(), self.end_within);
        let late = async {
            ending.cancelled().await;
            readiness.set(false);
            tokio::time::sleep(end_within).await;
        };
        tokio::select! {
            ended = &mut part => match ended {
                Ok(()) if shutdown.is_cancelled() => Ok(()),
                Ok(()) => Err(anyhow!("it ended unexpectedly")),
                Err(error) => Err(error.into()),
            },
            failed = self.tasks.failed() => {
                shutdown.cancel();
                self.ready.readiness.set(false);
                let _ = timeout(end_within, part).await;
                Err(failed)
            }
            () = late => {
                tracing::warn!("what was open is closed: it did not end in time");
                Ok(())
            }
        }
    }

    /// Ends everything else.
    pub async fn end(self, directory: Option<&DirectoryCopy>) {
        self.last.cancel();
        if let Some(directory) = directory {
            directory.close().await;
        }
        self.tasks.join(JOIN_WITHIN).await;
    }
}

/// The parts' own drains are shorter, but for the router's and the operator's.
pub const END_WITHIN: Duration = Duration::from_secs(20);
const JOIN_WITHIN: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_has_as_long_to_end_when_something_beside_it_fails_as_when_it_is_told_to_end() {
        let matches = crate::command().get_matches_from(["caudal", "ingest-router"]);
        let settings = Settings::from_arg_matches(matches.subcommand().unwrap().1).unwrap();
        let terminal = Arc::new(Terminal::new(Role::IngestRouter, &settings));
        let readiness = Readiness::default();
        readiness.set(true);
        let mut process = Process {
            tasks: Tasks::default(),
            registry: Registry::new(),
            ready: Ready { readiness: readiness.clone(), terminal, leave: CancellationToken::new() },
            last: CancellationToken::new(),
            end_within: END_WITHIN * 3,
        };
        process.tasks.spawn("thing beside it", async { Err::<(), _>(anyhow!("no more room")) });
        let (shutdown, mut drained) = (CancellationToken::new(), false);
        let part = async {
            shutdown.cancelled().await;
            assert!(!readiness.get());
            sleep(END_WITHIN * 2).await;
            drained = true;
            Ok::<_, Infallible>(())
        };
        let failed = process.until(&shutdown, part).await.unwrap_err();
        assert_eq!(format!("{failed:#}"), "thing beside it: no more room");
        assert!(drained);
    }
}
