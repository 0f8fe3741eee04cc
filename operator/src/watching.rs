//! One watch of all objects of a kind: what changed, what is gone, and when everything has been said once.
//!
//! Deletes are always told, also those that happened while the watch was interrupted. kube's shared streams drop them, so
//! each kind has one watch with one reader.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt as _};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// What a watch tells.
#[derive(Debug)]
pub(crate) enum News<K> {
    /// It is so now, or is still so.
    Is(Box<K>),
    /// There is none of this name any more.
    Gone(String),
    /// It cannot be understood, and nothing is known of it.
    Unreadable,
    /// Everything that there is has been told.
    Whole,
}

/// All objects of a kind that bear `labels`, in one page after the other, and then each change. Never ends; errors are logged, and
/// the watch is begun again.
pub(crate) fn watch<K>(
    api: Api<DeserializeGuard<K>>,
    labels: Option<&str>,
) -> impl Stream<Item = News<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    // A watch that was cut off silently is noticed when this is over.
    let mut config = watcher::Config::default().timeout(SILENCE_SECONDS);
    if let Some(labels) = labels {
        config = config.labels(labels);
    }
    let backoff = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times();
    let mut told = Told::default();
    watcher::watcher(api, config).backoff(watcher::ExponentialBackoff::from(backoff)).flat_map(move |event| {
        let news = match event {
            Ok(event) => told.take(event),
            Err(error) => {
                tracing::warn!(%error, kind = %K::kind(&()), "a watch was interrupted; beginning it again");
                Vec::new()
            }
        };
        futures::stream::iter(news)
    })
}

/// What a watch has told of, by name.
#[derive(Debug, Default)]
struct Told {
    names: HashSet<String>,
    /// While everything is listed anew: what was listed so far.
    listed: Option<HashSet<String>>,
}

impl Told {
    fn take<K>(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<News<K>>
    where
        K: Resource<DynamicType = ()>,
    {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                Vec::new()
            }
            Event::InitApply(guard) => {
                let (name, news) = is(guard);
                if let Some(listed) = &mut self.listed {
                    listed.insert(name.clone());
                }
                self.names.insert(name);
                vec![news]
            }
            Event::Apply(guard) => {
                let (name, news) = is(guard);
                self.names.insert(name);
                vec![news]
            }
            Event::Delete(guard) => {
                let name = name_of(&guard);
                self.names.remove(&name);
                vec![News::Gone(name)]
            }
            Event::InitDone => {
                let mut news = Vec::new();
                if let Some(listed) = self.listed.take() {
                    // Only what this watch has told of: what was made since the list began is in no list yet.
                    news.extend(self.names.difference(&listed).cloned().map(News::Gone));
                    self.names = listed;
                }
                news.push(News::Whole);
                news
            }
        }
    }
}

fn is<K>(guard: DeserializeGuard<K>) -> (String, News<K>)
where
    K: Resource<DynamicType = ()>,
{
    let name = name_of(&guard);
    let news = match guard.0 {
        Ok(object) => News::Is(Box::new(object)),
        Err(invalid) => {
            tracing::error!(%name, kind = %K::kind(&()), error = %invalid, "this cannot be understood; left alone");
            News::Unreadable
        }
    };
    (name, news)
}

fn name_of<K>(guard: &DeserializeGuard<K>) -> String
where
    K: Resource<DynamicType = ()>,
{
    guard.meta().name.clone().unwrap_or_default()
}

const SILENCE_SECONDS: u32 = 60;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Streams wait for news of their workers meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn pod(name: &str) -> DeserializeGuard<Pod> {
        serde_json::from_value(serde_json::json!({ "metadata": { "name": name } })).unwrap()
    }

    fn broken(name: &str) -> DeserializeGuard<Pod> {
        serde_json::from_value(serde_json::json!({ "metadata": { "name": name }, "spec": 7 })).unwrap()
    }

    /// What is told of some events, a word each.
    fn told(events: impl IntoIterator<Item = Event<DeserializeGuard<Pod>>>) -> Vec<String> {
        let mut told = Told::default();
        let news = events.into_iter().flat_map(|event| told.take(event));
        let mut words: Vec<_> = news
            .map(|news| match news {
                News::Is(pod) => pod.metadata.name.unwrap(),
                News::Gone(name) => format!("-{name}"),
                News::Unreadable => "?".to_owned(),
                News::Whole => "whole".to_owned(),
            })
            .collect();
        // What a list misses is told in no order.
        words.dedup();
        words
    }

    #[test]
    fn what_was_deleted_while_nobody_watched_is_told_when_everything_is_listed_again() {
        let events = vec![
            Event::Init,
            Event::InitApply(pod("a")),
            Event::InitApply(pod("b")),
            Event::InitDone,
            Event::Apply(pod("c")),
            Event::Delete(pod("a")),
            // The watch was interrupted for longer than the server remembers.
            Event::Init,
            Event::InitApply(pod("c")),
            Event::InitDone,
        ];
        assert_eq!(told(events), ["a", "b", "whole", "c", "-a", "c", "-b", "whole"]);
    }

    #[test]
    fn a_list_that_is_begun_again_forgets_nothing() {
        let events = [
            Event::Init,
            Event::InitApply(pod("a")),
            Event::Init,
            Event::InitApply(pod("b")),
            Event::InitDone,
        ];
        assert_eq!(told(events), ["a", "b", "-a", "whole"]);
    }

    #[test]
    fn what_cannot_be_understood_is_neither_gone_nor_in_the_way_of_the_rest() {
        let events = [
            Event::Init,
            Event::InitApply(pod("a")),
            Event::InitApply(broken("b")),
            Event::InitDone,
            Event::Apply(broken("a")),
            Event::Apply(pod("c")),
        ];
        assert_eq!(told(events), ["a", "?", "whole", "?", "c"]);
    }
}
