//! What everybody asks for, the live list and streams, as it was answered: in Redis, for all replicas, until anything changes.
//!
//! All answers are fields of one hash, which is deleted at each change. A hash has a name of its own (`generation`), which a reader learns
//! before the handler asks PostgreSQL, and an answer is only put into the hash of that name: what was read before a change does not come
//! back after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use redis::RedisResult;

use crate::kept_answer::{KeptAnswer, asked, may_have_changed, route};
use crate::known_version::unless_known;
use crate::metrics::Metrics;
use crate::redis_store::{Absence, RedisStore};

/// Nothing is kept without Redis: the only replica is as near to its database as to any cache.
pub(crate) struct AnswerCache {
    store: Option<RedisStore>,
    look: redis::Script,
    keep: redis::Script,
    absence: Absence,
    /// How many changes there were, and how many of them Redis was told of.
    changes: AtomicU64,
    dropped: AtomicU64,
    metrics: Metrics,
}

/// What Redis said when it was asked for an answer.
struct Looked {
    generation: String,
    answer: Option<KeptAnswer>,
}

/// Answers from the cache where it can, and drops the cache after whatever may have changed something.
pub(crate) async fn remember(
    State(cache): State<Arc<AnswerCache>>,
    request: Request,
    next: Next,
) -> Response {
    if cache.store.is_none() {
        return next.run(request).await;
    }
    let (method, route) = (request.method().clone(), route(&request).to_owned());
    if method == Method::GET && CACHED.contains(&route.as_str()) {
        return match asked(&request) {
            Some(asked) => cache.answer(&asked, request, next).await,
            None => next.run(request).await,
        };
    }
    let response = next.run(request).await;
    if may_have_changed(&method, &route, response.status()) {
        cache.drop_all().await;
    }
    response
}

impl AnswerCache {
    pub(crate) fn new(store: Option<RedisStore>, metrics: Metrics) -> Self {
        Self {
            store,
            look: redis::Script::new(LOOK),
            keep: redis::Script::new(KEEP),
            absence: Absence::default(),
            changes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            metrics,
        }
    }

    /// To be called when a change is committed, before it is answered. Where Redis does not answer, other replicas may tell for
    /// [`LONGEST_KEPT`] what was so before.
    pub(crate) async fn drop_all(&self) {
        // Before it is tried: whoever gives up waiting for this leaves it to the next reader.
        let changes = self.changes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.drop_before(changes).await;
    }

    async fn drop_before(&self, changes: u64) {
        let Some(store) = self.reachable() else { return };
        let dropped: RedisResult<()> =
            redis::cmd("UNLINK").arg(ANSWERS).query_async(&mut store.connection()).await;
        if self.heard(dropped).is_some() {
            self.dropped.fetch_max(changes, Ordering::Relaxed);
        }
    }

    fn reachable(&self) -> Option<&RedisStore> {
        self.store.as_ref().filter(|_| !self.absence.lasts())
    }

    async fn answer(&self, asked: &str, mut request: Request, next: Next) -> Response {
        let changes = self.changes.load(Ordering::Relaxed);
        if self.dropped.load(Ordering::Relaxed) < changes {
            self.drop_before(changes).await;
        }
        let Some(store) = self.reachable() else { return next.run(request).await };
        let looked = self.heard(self.look(store, asked).await);
        // The handler makes the whole answer, for others too.
        let known = request.headers().clone();
        request.headers_mut().remove(header::IF_NONE_MATCH);
        let response = match looked {
            Some(Looked { answer: Some(answer), .. }) => {
                self.metrics.cached_answer("kept");
                answer.into_response()
            }
            Some(Looked { generation, answer: None }) => {
                self.metrics.cached_answer("made");
                match KeptAnswer::of(next.run(request).await).await {
                    Ok(answer) => {
                        self.heard(self.keep(store, asked, &generation, &answer).await);
                        answer.into_response()
                    }
                    Err(response) => response,
                }
            }
            None => next.run(request).await,
        };
        unless_known(response, &known)
    }

    async fn look(&self, store: &RedisStore, asked: &str) -> RedisResult<Looked> {
        let mut connection = store.connection();
        let new = uuid::Uuid::new_v4().to_string();
        let mut look = self.look.key(ANSWERS);
        look.arg(asked).arg(new).arg(LONGEST_KEPT.as_secs());
        let (generation, headers, body): (String, Option<Vec<u8>>, Option<Vec<u8>>) =
            look.invoke_async(&mut connection).await?;
        let answer = headers.zip(body).and_then(|(headers, body)| read(&headers, body));
        Ok(Looked { generation, answer })
    }

    async fn keep(
        &self,
        store: &RedisStore,
        asked: &str,
        generation: &str,
        answer: &KeptAnswer,
    ) -> RedisResult<()> {
        let mut connection = store.connection();
        let mut keep = self.keep.key(ANSWERS);
        keep.arg(asked).arg(generation).arg(written(answer)).arg(answer.body.as_ref()).arg(MOST);
        keep.invoke_async(&mut connection).await
    }

    fn heard<T>(&self, answer: RedisResult<T>) -> Option<T> {
        answer
            .inspect_err(|error| {
                tracing::debug!(%error, "answers are made without the cache");
                self.absence.begin();
                if let Some(store) = &self.store {
                    store.failed(error);
                }
            })
            .ok()
    }
}

/// The headers, a line each, as HTTP/1 has them.
fn written(answer: &KeptAnswer) -> Vec<u8> {
    let mut written = Vec::new();
    for (name, value) in &answer.headers {
        written.extend_from_slice(name.as_str().as_bytes());
        written.push(b':');
        written.extend_from_slice(value.as_bytes());
        written.push(b'\n');
    }
    written
}

/// Nothing where these are no headers: whatever else has access to Redis, the handler knows better.
fn read(headers: &[u8], body: Vec<u8>) -> Option<KeptAnswer> {
    let lines = headers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let headers = lines.map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value.strip_prefix(b":")?).ok()?))
    });
    Some(KeptAnswer { headers: headers.collect::<Option<_>>()?, body: body.into() })
}

/// Routes that answer everybody alike.
const CACHED: &[&str] = &["/api/streams", "/api/streams/{id}", "/api/categories/{slug}/streams"];
/// The hash. Each answer is two of its fields, named by their first letter and what was asked for.
const ANSWERS: &str = "answers";
/// Fields, of two for each answer: with [`LARGEST`](crate::kept_answer::LARGEST) 4 MB at the very most. A stranger who makes up queries can
/// fill it, which lasts until the next change, or [`LONGEST_KEPT`]; PostgreSQL is asked for what has no place.
const MOST: usize = 2 * 64;
/// How old an answer can get where a change did not drop it: the command line's, one during which Redis was away, or one whose request
/// was cut off by its deadline. Viewers are counted as often, which drops everything anyway.
const LONGEST_KEPT: Duration = Duration::from_secs(5);
const LOOK: &str = r"
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then
    generation = ARGV[2]
    redis.call('HSET', KEYS[1], 'generation', generation)
    redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return { generation, redis.call('HGET', KEYS[1], 'h' .. ARGV[1]), redis.call('HGET', KEYS[1], 'b' .. ARGV[1]) }
";
const KEEP: &str = r"
if redis.call('HGET', KEYS[1], 'generation') == ARGV[2] and redis.call('HLEN', KEYS[1]) < tonumber(ARGV[5]) then
    redis.call('HSET', KEYS[1], 'h' .. ARGV[1], ARGV[3], 'b' .. ARGV[1], ARGV[4])
end
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let headers =
            [("etag", "\"a:b\""), ("link", "</api/streams?cursor=x>; rel=\"next\""), ("x", ""), ("x", "é")];
        let headers = headers.map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let answer = KeptAnswer { headers: headers.into_iter().collect(), body: "[]".into() };
        let again = read(&written(&answer), answer.body.to_vec()).unwrap();
        assert_eq!((again.headers, again.body), (answer.headers, answer.body));
    }

    #[test]
    fn what_somebody_else_wrote_into_redis_is_no_answer() {
        for headers in ["etag", "a b:c", ":c", "etag:a\r"] {
            assert!(read(headers.as_bytes(), Vec::new()).is_none(), "{headers:?}");
        }
    }
}
