//! What happens in rooms, opened and ended: the bus, the log and what carries messages to PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::audience::GatheredAudience;
use crate::bus::{Bus, InProcessBus, RedisBus, RedisListener};
use crate::chat::moderation::Rulebook;
use crate::chat::{self, Hub, InProcessLog, RedisLog, RoomLog, drain};
use crate::notifications;
use crate::redis_store::RedisStore;
use crate::start_error::StartError;

/// What must run for as long as there are rooms.
pub(crate) struct Realtime {
    listener: Option<RedisListener>,
    /// Carries messages to PostgreSQL until it is stopped.
    carrier: BoxFuture<'static, ()>,
    /// Set when nobody says anything any more.
    stop: CancellationToken,
}

impl Realtime {
    /// In Redis where there is one, in this process otherwise.
    pub(crate) fn open(
        redis_url: Option<&SecretString>,
        redis: Option<&RedisStore>,
        database: &PgPool,
        audience: Arc<GatheredAudience>,
    ) -> Result<(Self, Hub, notifications::Hub), StartError> {
        let stop = CancellationToken::new();
        let (bus, log, listener, carrier): (Arc<dyn Bus>, Arc<dyn RoomLog>, _, BoxFuture<'static, ()>) =
            if let Some((url, store)) = redis_url.zip(redis) {
                let (bus, listener) = RedisBus::open(url)?;
                let log = RedisLog::new(store.clone(), bus.prefix().to_owned(), database.clone());
                let carrier = drain(store.clone(), database.clone(), stop.clone());
                (Arc::new(bus), Arc::new(log), Some(listener), carrier.boxed())
            } else {
                let bus: Arc<dyn Bus> = Arc::new(InProcessBus::default());
                let (log, carrier) = InProcessLog::new(database.clone(), Arc::clone(&bus), stop.clone());
                (bus, Arc::new(log), None, carrier.boxed())
            };
        let told = notifications::Hub::new(database.clone(), Arc::clone(&bus));
        let rules = Arc::new(Rulebook::new(database.clone(), Arc::clone(&bus)));
        let hub = Hub::new(database.clone(), bus, log, rules, audience);
        Ok((Self { listener, carrier, stop }, hub, told))
    }

    /// Runs until `shutdown`, and ends in order: sockets, one by one over `spread`, rooms, and what carries their last messages.
    pub(crate) fn spawn(
        self,
        tasks: &mut JoinSet<Result<(), StartError>>,
        app: &App,
        shutdown: &CancellationToken,
        spread: Duration,
    ) {
        let Self { listener, carrier, stop } = self;
        if let Some(listener) = listener {
            // Rooms hear until they have ended.
            let stop = stop.clone();
            tasks.spawn(async move {
                listener.run(stop).await;
                Ok(())
            });
        }
        tasks.spawn(async move {
            carrier.await;
            Ok(())
        });
        let (told, ending) = (Arc::clone(&app.notifications), shutdown.clone());
        tasks.spawn(async move {
            ending.run_until_cancelled(told.hub.run()).await;
            Ok(())
        });
        let (chat, ending) = (Arc::clone(&app.chat), shutdown.clone());
        tasks.spawn(async move {
            chat.hub.rules().listen(ending).await;
            Ok(())
        });
        let (database, ending) = (app.chat.database.clone(), shutdown.clone());
        tasks.spawn(async move {
            chat::keep_partitions(database, ending).await;
            Ok(())
        });
        let (chat, ending) = (Arc::clone(&app.chat), shutdown.clone());
        tasks.spawn(async move {
            ending.cancelled().await;
            let cut_off = chat.sockets.close(spread, GOODBYE).await;
            if cut_off > 0 {
                tracing::info!(cut_off, "sockets that did not close in time were cut off");
            }
            chat.hub.close().await;
            stop.cancel();
            Ok(())
        });
    }
}

/// For sockets to close once they were told to.
const GOODBYE: Duration = Duration::from_secs(5);
