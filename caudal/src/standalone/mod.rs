//! All roles in one process, for one machine: the same parts as in a cluster, with a local directory, worker processes
//! for pods, and a PostgreSQL of its own.

mod console;
mod folders;
mod postgres;
mod roles;
pub mod supervisor;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use caudal_directory::StreamControl as _;
use caudal_service::logs::LogLines;
use caudal_service::shutdown;
use futures::FutureExt as _;
use futures::future::FusedFuture;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::secrets::{KeySource, MasterSecret, remember, remember_keys};
use crate::settings::Settings;
use console::Console;
pub use folders::{ADMIN, Folders, MEDIA, OURS_ALONE, default_data_folder, open_folder};
use postgres::Postgres;
use roles::{Listeners, Roles};

/// Runs the platform until a signal ends it.
///
/// # Errors
/// When something that it needs is missing or taken; says what.
pub async fn run(settings: Settings, lines: LogLines) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal().context("signals")?;
    let console = Console::new(settings.logs.format);
    let folders = Folders::open(&settings)?;
    let master = MasterSecret::load_or_create(&folders.secrets(), &folders.postgres())?;
    // Before anything is started: a port that is taken is the likeliest thing to be wrong.
    let listeners = Listeners::bind(&settings).await?;

    let (mut postgres, database_url) = match database(&folders, &console, &shutdown).await {
        // A start that was interrupted failed because of that.
        Err(_) if shutdown.is_cancelled() => return Ok(()),
        started => started?,
    };
    // A start that came to nothing binds nobody to a mistyped secret.
    remember(&master, &folders.secrets());
    let keys = KeySource::Master(master);
    remember_keys(&keys, &folders.secrets());
    let kept = async {
        match &mut postgres {
            Some(postgres) => postgres.keep_running(&folders.data).await,
            None => pending().await,
        }
    };
    let ended = tokio::select! {
        ended = serve(&settings, &console, &folders, &keys, listeners, database_url, lines, shutdown) => ended,
        never = kept => match never {},
    };
    if let Some(postgres) = postgres {
        postgres.stop().await;
    }
    if ended.is_ok() {
        console.stopped();
    }
    ended
}

#[expect(clippy::too_many_arguments, reason = "each is a different thing that `run` made")]
async fn serve(
    settings: &Settings,
    console: &Console,
    folders: &Folders,
    keys: &KeySource,
    listeners: Listeners,
    database_url: SecretString,
    lines: LogLines,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let addresses = listeners.addresses(settings)?;
    let starting = Roles::start(settings, folders, keys, listeners, database_url, &addresses, lines);
    // All that it waits for is the first worker, which is killed when its start is dropped.
    let Some(roles) = shutdown.run_until_cancelled(starting).await else { return Ok(()) };
    let mut roles = roles?;
    let directory = roles.directory();
    let events = pin!(console.follow(&directory, &addresses));
    let mut events = events.fuse();
    let ended = match shutdown.run_until_cancelled(roles.ready()).await {
        None => Ok(()),
        Some(Ok(())) => {
            console.ready(&addresses, &folders.data, settings);
            tokio::select! {
                failed = roles.failed() => Err(failed),
                () = &mut events => Ok(()),
                () = shutdown.cancelled() => Ok(()),
            }
        }
        Some(Err(error)) => Err(error),
    };
    let has_streams = || roles.directory().running().iter().any(|stream| !stream.status.phase.is_over());
    if ended.is_ok() && has_streams() {
        console.progress("Ending streams");
    }
    while_told(events, roles.stop(END_STREAMS_WITHIN)).await;
    ended
}

/// Does `work`, while `telling` tells what happens meanwhile, the last of it included.
async fn while_told<T>(
    mut telling: impl FusedFuture<Output = ()> + Unpin,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = &mut telling, if !telling.is_terminated() => {}
        }
    };
    if !telling.is_terminated() {
        // It tells what is there to be told, and would wait for more.
        let _ = telling.now_or_never();
    }
    done
}

/// The one that was given, or our own.
async fn database(
    folders: &Folders,
    console: &Console,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Option<Postgres>, SecretString)> {
    if let Some(url) = caudal_service::secret::read("DATABASE_URL")? {
        return Ok((None, url));
    }
    let postgres = Postgres::start(&folders.data, |what| console.progress(what), shutdown).await?;
    let url = postgres.url().clone();
    Ok((Some(postgres), url))
}

/// Ctrl-C: viewers get a playlist that ends, the api is told, and nobody waits long.
const END_STREAMS_WITHIN: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::broadcast;

    use super::*;

    #[tokio::test]
    async fn what_happens_while_streams_are_ended_is_told_up_to_the_last() {
        let (happens, mut heard) = broadcast::channel(8);
        let told = Mutex::new(Vec::new());
        let telling = pin!(async {
            while let Ok(what) = heard.recv().await {
                told.lock().unwrap().push(what);
            }
        });
        let ending = async {
            happens.send("ana: ended").unwrap();
            tokio::task::yield_now().await;
            happens.send("ben: ended").unwrap();
        };
        while_told(telling.fuse(), ending).await;
        assert_eq!(*told.lock().unwrap(), ["ana: ended", "ben: ended"]);
    }
}
