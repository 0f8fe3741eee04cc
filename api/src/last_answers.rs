//! What everybody reads, as it was answered last: while PostgreSQL is away, lists and public pages stay readable.
//!
//! Whatever could change such an answer needs PostgreSQL as well, so an answer of just before an outage stays right during it, but for
//! what another replica changed between the two.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use crate::error::Error;

/// Of one replica.
#[derive(Default)]
pub(crate) struct LastAnswers {
    // Held for single operations only, never across an await.
    answers: Mutex<HashMap<String, Answer>>,
}

#[derive(Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
    at: Instant,
}

/// Remembers what is answered, and answers with that where the handler cannot.
pub(crate) async fn stand_in(State(last): State<Arc<LastAnswers>>, request: Request, next: Next) -> Response {
    let Some(asked) = asked(&request) else { return next.run(request).await };
    let response = next.run(request).await;
    match response.status() {
        StatusCode::OK => last.remember(asked, response).await,
        StatusCode::SERVICE_UNAVAILABLE => last.answer(&asked, Instant::now()).unwrap_or(response),
        // What is gone does not come back.
        StatusCode::NOT_FOUND => {
            last.answers().remove(&asked);
            response
        }
        _ => response,
    }
}

/// What is asked for, where the answer is the same for everybody.
fn asked(request: &Request) -> Option<String> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    let for_all = request.method() == Method::GET
        && PUBLIC.contains(&route)
        // Some handlers tell people what is theirs.
        && (route != FOR_SOMEBODY || !request.headers().contains_key(header::AUTHORIZATION));
    let asked = request.uri().path_and_query()?.as_str();
    (for_all && asked.len() <= LONGEST).then(|| asked.to_owned())
}

impl LastAnswers {
    async fn remember(&self, asked: String, response: Response) -> Response {
        let is_known = self.answers().get(&asked).is_some_and(|known| known.at.elapsed() < REFRESH);
        let is_small = response.body().size_hint().exact().is_some_and(|bytes| bytes <= LARGEST);
        if is_known || !is_small || response.headers().contains_key(header::SET_COOKIE) {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return Error::Internal("an answer that was ready could not be read".to_owned()).into_response();
        };
        let answer = Answer { headers: parts.headers.clone(), body: body.clone(), at: Instant::now() };
        self.keep(asked, answer);
        Response::from_parts(parts, Body::from(body))
    }

    fn keep(&self, asked: String, answer: Answer) {
        let mut answers = self.answers();
        if answers.len() >= MOST && !answers.contains_key(&asked) {
            // Half of them at once, so that this is seldom: what is asked for often is young.
            let mut ages: Vec<Instant> = answers.values().map(|answer| answer.at).collect();
            let (_, median, _) = ages.select_nth_unstable(MOST / 2);
            let median = *median;
            answers.retain(|_, answer| answer.at > median);
        }
        answers.insert(asked, answer);
    }

    /// With its age (RFC 9111), so that nobody takes it for new.
    fn answer(&self, asked: &str, now: Instant) -> Option<Response> {
        let Answer { headers, body, at } = self.answers().get(asked).cloned()?;
        let age = now.duration_since(at);
        if age > OLDEST {
            return None;
        }
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = headers;
        response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
        Some(response)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const PUBLIC: &[&str] = &[
    "/api/streams",
    "/api/streams/{id}",
    FOR_SOMEBODY,
    "/api/users/{id}/streams",
    "/api/categories",
    "/api/categories/{slug}",
    "/api/categories/{slug}/streams",
];
/// Tells people whom they follow.
const FOR_SOMEBODY: &str = "/api/users/{id}";
/// Bytes of a path with its query: a page further on has a cursor, which few ask for.
const LONGEST: usize = 512;
/// A full page of streams has some 60 KB.
const LARGEST: u64 = 64 * 1024;
/// With [`LARGEST`] 32 MB at the very most; pages of twenty have a fifth of that.
const MOST: usize = 512;
/// What is asked for all the time is copied once in so long.
const REFRESH: Duration = Duration::from_secs(1);
/// Longer than a restart of PostgreSQL, or going over to its standby, takes.
const OLDEST: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(at: Instant) -> Answer {
        Answer { headers: HeaderMap::new(), body: Bytes::from_static(b"[]"), at }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_in_for_a_while() {
        let (last, now) = (LastAnswers::default(), Instant::now());
        last.keep("/streams".to_owned(), answered(now));
        let later = last.answer("/streams", now + OLDEST).unwrap();
        assert_eq!(later.headers()[header::AGE], "900");
        assert!(last.answer("/streams", now + OLDEST + Duration::from_secs(1)).is_none());
        assert!(last.answer("/categories", now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_seldom_makes_room() {
        let (last, now) = (LastAnswers::default(), Instant::now());
        for n in 0..10 * MOST {
            let at = now + Duration::from_secs(u64::try_from(n).unwrap());
            last.keep(format!("/streams?q={n}"), answered(at));
            last.keep("/streams".to_owned(), answered(at));
            assert!(last.answers().len() <= MOST, "{n}");
        }
        assert!(last.answers().contains_key("/streams"));
    }
}
