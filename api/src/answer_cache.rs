//! What everybody asks for, the live list and streams, as it was answered: in Redis, for all replicas, until anything changes.
//!
//! All answers are fields of one hash, which is deleted at each change. A hash has a name of its own (`generation`), which a reader learns
//! before the handler asks PostgreSQL, and an answer is only put into the hash of that name: what was read before a change does not come
//! back after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use redis::RedisResult;

use crate::error::Error;
use crate::known_version::is_known;
use crate::metrics::Metrics;
use crate::redis_store::{Absence, RedisStore};

/// Nothing is kept without Redis: the only replica is as near to its database as to any cache.
pub(crate) struct AnswerCache {
    store: Option<RedisStore>,
    look: redis::Script,
    keep: redis::Script,
    absence: Absence,
    /// A change came while Redis did not answer.
    drop_is_due: AtomicBool,
    metrics: Metrics,
}

/// What Redis said when it was asked for an answer.
struct Looked {
    generation: String,
    answer: Option<Answer>,
}

struct Answer {
    headers: HeaderMap,
    body: Bytes,
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
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if request.method() == Method::GET {
        return match asked(route, &request) {
            Some(asked) => cache.answer(&asked, request, next).await,
            None => next.run(request).await,
        };
    }
    let changes = !request.method().is_safe() && !SHOWN_NOWHERE.contains(&route);
    let response = next.run(request).await;
    // What failed inside may have happened all the same.
    if changes && !response.status().is_client_error() {
        cache.drop_all().await;
    }
    response
}

fn asked(route: &str, request: &Request) -> Option<String> {
    let asked = request.uri().path_and_query()?.as_str();
    (CACHED.contains(&route) && asked.len() <= LONGEST).then(|| asked.to_owned())
}

impl AnswerCache {
    pub(crate) fn new(store: Option<RedisStore>, metrics: Metrics) -> Self {
        Self {
            store,
            look: redis::Script::new(LOOK),
            keep: redis::Script::new(KEEP),
            absence: Absence::default(),
            drop_is_due: AtomicBool::new(false),
            metrics,
        }
    }

    /// To be called when a change is committed and before anybody is told of it. Where Redis does not answer, other replicas may tell for
    /// [`LONGEST_KEPT`] what was so before.
    pub(crate) async fn drop_all(&self) {
        // Before it is tried: whoever gives up waiting for this leaves it to the next reader.
        self.drop_is_due.store(true, Ordering::Relaxed);
        let Some(store) = self.reachable() else { return };
        let dropped: RedisResult<()> =
            redis::cmd("UNLINK").arg(ANSWERS).query_async(&mut store.connection()).await;
        self.drop_is_due.store(self.heard(dropped).is_none(), Ordering::Relaxed);
    }

    fn reachable(&self) -> Option<&RedisStore> {
        self.store.as_ref().filter(|_| !self.absence.lasts())
    }

    async fn answer(&self, asked: &str, mut request: Request, next: Next) -> Response {
        if self.drop_is_due.load(Ordering::Relaxed) {
            self.drop_all().await;
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
                match Answer::of(next.run(request).await).await {
                    Ok(answer) => {
                        self.heard(self.keep(store, asked, &generation, &answer).await);
                        answer.into_response()
                    }
                    Err(response) => response,
                }
            }
            None => next.run(request).await,
        };
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        if tag.is_some_and(|tag| is_known(&known, tag)) {
            let (mut parts, _) = response.into_parts();
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            return Response::from_parts(parts, Body::empty());
        }
        response
    }

    async fn look(&self, store: &RedisStore, asked: &str) -> RedisResult<Looked> {
        let mut connection = store.connection();
        let new = uuid::Uuid::new_v4().to_string();
        let mut look = self.look.key(ANSWERS);
        look.arg(asked).arg(new).arg(LONGEST_KEPT.as_secs());
        let (generation, headers, body): (String, Option<Vec<u8>>, Option<Vec<u8>>) =
            look.invoke_async(&mut connection).await?;
        let answer = headers.zip(body).and_then(|(headers, body)| Answer::read(&headers, body));
        Ok(Looked { generation, answer })
    }

    async fn keep(
        &self,
        store: &RedisStore,
        asked: &str,
        generation: &str,
        answer: &Answer,
    ) -> RedisResult<()> {
        let mut connection = store.connection();
        let mut keep = self.keep.key(ANSWERS);
        keep.arg(asked).arg(generation).arg(answer.written()).arg(answer.body.as_ref()).arg(MOST);
        keep.invoke_async(&mut connection).await
    }

    fn heard<T>(&self, answer: RedisResult<T>) -> Option<T> {
        answer
            .inspect_err(|error| {
                tracing::debug!(%error, "answers are made without the cache");
                self.absence.begin();
            })
            .ok()
    }
}

impl Answer {
    /// The response as it was, where it is not to be kept.
    async fn of(response: Response) -> Result<Self, Response> {
        let is_small = response.body().size_hint().exact().is_some_and(|bytes| bytes <= LARGEST);
        if response.status() != StatusCode::OK || !is_small {
            return Err(response);
        }
        let (parts, body) = response.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(body) => Ok(Self { headers: parts.headers, body }),
            Err(_) => {
                Err(Error::Internal("an answer that was ready could not be read".to_owned()).into_response())
            }
        }
    }

    /// The headers, a line each, as HTTP/1 has them.
    fn written(&self) -> Vec<u8> {
        let mut written = Vec::new();
        for (name, value) in &self.headers {
            written.extend_from_slice(name.as_str().as_bytes());
            written.push(b':');
            written.extend_from_slice(value.as_bytes());
            written.push(b'\n');
        }
        written
    }

    /// Nothing where these are no headers: whatever else has access to Redis, the handler knows better.
    fn read(headers: &[u8], body: Vec<u8>) -> Option<Self> {
        let lines = headers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let headers = lines.map(|line| {
            let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
            Some((
                HeaderName::from_bytes(name).ok()?,
                HeaderValue::from_bytes(value.strip_prefix(b":")?).ok()?,
            ))
        });
        Some(Self { headers: headers.collect::<Option<_>>()?, body: body.into() })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.headers_mut() = self.headers;
        response
    }
}

/// Routes that answer everybody alike.
const CACHED: &[&str] = &["/api/streams", "/api/streams/{id}", "/api/categories/{slug}/streams"];
/// What happens all the time and changes nothing that the above show.
const SHOWN_NOWHERE: &[&str] = &[
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/logout",
    "/api/streams/{id}/watching",
    "/api/chat/{id}/messages",
    "/api/users/{id}/follow",
    "/api/notifications",
    "/api/notifications/{id}",
];
/// The hash. Each answer is two of its fields, named by their first letter and what was asked for.
const ANSWERS: &str = "answers";
/// Bytes of a path with its query: a page further on has a cursor, which few ask for.
const LONGEST: usize = 512;
/// A full page of streams has some 60 KB.
const LARGEST: u64 = 64 * 1024;
/// Fields; with [`LARGEST`] 16 MB at the very most. Whoever makes up queries fills it for [`LONGEST_KEPT`], and what was asked for first
/// stays.
const MOST: usize = 2 * 256;
/// How old an answer can get where a change could not drop it: the command line's, or one during which Redis was away. Viewers are
/// counted as often, which drops everything anyway.
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
        let answer = Answer { headers: headers.into_iter().collect(), body: Bytes::from_static(b"[]") };
        let read = Answer::read(&answer.written(), answer.body.to_vec()).unwrap();
        assert_eq!((read.headers, read.body), (answer.headers, answer.body));
    }

    #[test]
    fn what_somebody_else_wrote_into_redis_is_no_answer() {
        for headers in ["etag", "a b:c", ":c", "etag:a\r"] {
            assert!(Answer::read(headers.as_bytes(), Vec::new()).is_none(), "{headers:?}");
        }
    }
}
