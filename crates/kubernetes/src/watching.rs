//! One watch of all objects of a kind: what changed, what is gone, when everything has been said once, and whether anything is
//! heard.
//!
//! Not kube's own watcher, which says nothing when it goes on after an interruption, so that nobody could know whether what is
//! missing is missing. Deletes are always told, also those that happened while the watch was interrupted.

mod told;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::DeserializeGuard;
use kube::{Api, Error, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::calls::{DEADLINE, list_at_once, watch_failed};
use told::Told;

/// What a watch tells.
#[derive(Debug)]
pub enum News<K> {
    /// It is so now, or is still so.
    Is(Box<K>),
    /// This one is not there any more; by now there may be another one of its name.
    Gone {
        /// Its name.
        name: String,
        /// Its uid, if that was told.
        uid: Option<String>,
    },
    /// The one of this name cannot be understood, and nothing is known of it.
    Unreadable(String),
    /// Everything that there is has been told.
    Whole,
    /// Nothing is heard until [`News::Resumed`] or [`News::Whole`].
    Interrupted,
    /// The watch goes on where it was interrupted: what happened meanwhile follows.
    Resumed,
}

/// All objects of a kind that bear `labels`, in one page after the other, and then each change. Never ends; what is wrong is
/// logged once, and the watch goes on.
pub fn watch<K>(
    api: Api<DeserializeGuard<K>>,
    labels: Option<&str>,
) -> impl Stream<Item = News<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let reader = Reader {
        api,
        labels: labels.map(str::to_owned),
        told: Told::default(),
        news: VecDeque::new(),
        interrupted: false,
        pause: FIRST_PAUSE,
        not_before: None,
    };
    futures::stream::unfold((reader, Stage::List(None)), |(mut reader, mut stage)| async move {
        loop {
            if let Some(news) = reader.news.pop_front() {
                return Some((news, (reader, stage)));
            }
            stage = reader.step(stage).await;
        }
    })
}

/// Where a watch is.
enum Stage<K> {
    /// Everything is listed, from this page on.
    List(Option<String>),
    /// The changes since this version are to be asked for.
    Ask(String),
    /// Changes are awaited; the newest was this version. The server ends the connection by itself before the instant.
    Follow(String, Changes<K>, Instant),
}

type Changes<K> = BoxStream<'static, Result<WatchEvent<DeserializeGuard<K>>, Error>>;

struct Reader<K> {
    api: Api<DeserializeGuard<K>>,
    labels: Option<String>,
    told: Told,
    news: VecDeque<News<K>>,
    interrupted: bool,
    /// Before the next try.
    pause: Duration,
    not_before: Option<Instant>,
}

impl<K> Reader<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    async fn step(&mut self, stage: Stage<K>) -> Stage<K> {
        if let Some(instant) = self.not_before.take() {
            sleep_until(instant).await;
        }
        match stage {
            Stage::List(page) => self.list(page).await,
            Stage::Ask(version) => self.ask(version).await,
            Stage::Follow(version, changes, until) => self.follow(version, changes, until).await,
        }
    }

    async fn list(&mut self, page: Option<String>) -> Stage<K> {
        let mut params = ListParams { label_selector: self.labels.clone(), ..ListParams::default() };
        params = params.limit(PAGE);
        if page.is_none() {
            self.told.begin();
        }
        params.continue_token = page;
        let list = match list_at_once(self.api.list(&params)).await {
            Ok(list) => list,
            // It is counted as a call.
            Err(failure) => return self.broken(&failure.to_string(), Stage::List(None)),
        };
        for object in list.items {
            let news = self.told.listed(object);
            self.news.extend(news);
        }
        if let Some(next) = list.metadata.continue_.filter(|next| !next.is_empty()) {
            return Stage::List(Some(next));
        }
        let Some(version) = list.metadata.resource_version.filter(|version| !version.is_empty()) else {
            return self.broken("a list without a version", Stage::List(None));
        };
        self.news.extend(self.told.end());
        self.news.push_back(News::Whole);
        if std::mem::take(&mut self.interrupted) {
            Self::heard();
        }
        Stage::Ask(version)
    }

    async fn ask(&mut self, version: String) -> Stage<K> {
        let mut params = WatchParams { label_selector: self.labels.clone(), ..WatchParams::default() };
        params = params.timeout(CONNECTION_SECONDS);
        match call_once(self.api.watch(&params, &version)).await {
            Ok(changes) => {
                if std::mem::take(&mut self.interrupted) {
                    Self::heard();
                    self.news.push_back(News::Resumed);
                }
                Stage::Follow(version, changes.boxed(), Instant::now() + LONGEST_CONNECTION)
            }
            Err(Failed::Expired) => self.broken("its version has expired", Stage::List(None)),
            Err(Failed::Other(reason)) => self.failed(&reason, Stage::Ask(version)),
        }
    }

    async fn follow(&mut self, version: String, mut changes: Changes<K>, until: Instant) -> Stage<K> {
        let Ok(change) = timeout_at(until, changes.next()).await else {
            return self.failed("the connection is silent", Stage::Ask(version));
        };
        let object = match change {
            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                self.pause = FIRST_PAUSE;
                return Stage::Follow(bookmark.metadata.resource_version, changes, until);
            }
            Some(Ok(WatchEvent::Error(status))) if status.code == EXPIRED => {
                return self.broken("its version has expired", Stage::List(None));
            }
            Some(Ok(WatchEvent::Error(status))) => {
                return self.failed(&status.to_string(), Stage::Ask(version));
            }
            // What is between here and there cannot be read: it is skipped by a list.
            Some(Err(error @ (Error::SerdeError(_) | Error::LinesCodecMaxLineLengthExceeded))) => {
                return self.broken(&error.to_string(), Stage::List(None));
            }
            Some(Err(error)) => return self.failed(&error.to_string(), Stage::Ask(version)),
            // Its time is over; one that ends early is not asked for again at once.
            None => {
                if Instant::now() + SHORTENED < until {
                    self.wait();
                }
                return Stage::Ask(version);
            }
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                let version = object.meta().resource_version.clone();
                let news = self.told.is(object);
                self.news.extend(news);
                version
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                let version = object.meta().resource_version.clone();
                let news = self.told.gone(&object);
                self.news.push_back(news);
                version
            }
        };
        self.pause = FIRST_PAUSE;
        match object.filter(|version| !version.is_empty()) {
            Some(version) => Stage::Follow(version, changes, until),
            None => self.broken("an object without a version", Stage::List(None)),
        }
    }

    /// The same for what no server does that is well; the lists that follow an expired version are its ordinary way.
    fn failed(&mut self, reason: &str, next: Stage<K>) -> Stage<K> {
        watch_failed();
        self.broken(reason, next)
    }

    /// Says that nothing is heard, and goes on with `next` after a pause.
    fn broken(&mut self, reason: &str, next: Stage<K>) -> Stage<K> {
        let kind = K::kind(&());
        if std::mem::replace(&mut self.interrupted, true) {
            tracing::debug!(%reason, %kind, "a watch is still interrupted");
        } else {
            tracing::warn!(%reason, %kind, "a watch was interrupted; beginning it again");
            self.news.push_back(News::Interrupted);
        }
        self.wait();
        next
    }

    fn heard() {
        tracing::info!(kind = %K::kind(&()), "a watch goes on");
    }

    /// Half to all of the pause, so that those who lost the same server do not come back together.
    fn wait(&mut self) {
        let shortened = self.pause.mul_f64(0.5 + 0.5 * rand::random::<f64>());
        self.not_before = Some(Instant::now() + shortened);
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

enum Failed {
    Expired,
    Other(String),
}

/// The head of the answer, within a call's deadline.
async fn call_once<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
    match timeout(DEADLINE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Api(status))) if status.code == EXPIRED => Err(Failed::Expired),
        Ok(Err(error)) => Err(Failed::Other(error.to_string())),
        Err(_) => Err(Failed::Other(format!("no answer within {} s", DEADLINE.as_secs()))),
    }
}

/// 410: the server remembers no changes that far back.
const EXPIRED: u16 = 410;
const PAGE: u32 = 500;
/// A connection that was cut off silently is noticed when this is over. Asking again costs the server little: it goes on where it
/// was.
const CONNECTION_SECONDS: u32 = 30;
const LONGEST_CONNECTION: Duration = Duration::from_secs(35);
/// A connection that ends so long before its time ended for another reason.
const SHORTENED: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Streams wait for news of their workers meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
