//! What everybody reads, as it was answered last: while PostgreSQL is away, lists and public pages stay readable.
//!
//! Whatever could change such an answer needs PostgreSQL as well, so nothing of it changes during the outage. What another replica changed
//! between the answer and the outage is not known here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use crate::kept_answer::{self, KeptAnswer, may_have_changed};

/// Of one replica.
#[derive(Default)]
pub(crate) struct LastAnswers {
    // Held for single operations only, never across an await.
    answers: Mutex<HashMap<String, Answer>>,
}

#[derive(Clone)]
struct Answer {
    kept: KeptAnswer,
    at: Instant,
}

/// Remembers what is answered, and answers with that where the handler cannot.
pub(crate) async fn stand_in(
    State(last): State<Arc<LastAnswers>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(asked) = asked(&request) else {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let route = kept_answer::route(&request).to_owned();
        let response = next.run(request).await;
        // What failed because PostgreSQL is away has changed nothing.
        if response.status().is_success() && may_have_changed(&method, &route, response.status()) {
            last.forget(&path);
        }
        return response;
    };
    if !last.answers().contains_key(&asked) {
        // Of a page that all its readers know there would be no answer to keep.
        request.headers_mut().remove(header::IF_NONE_MATCH);
    }
    let response = next.run(request).await;
    match response.status() {
        StatusCode::OK => last.remember(asked, response).await,
        StatusCode::NOT_MODIFIED => {
            last.confirm(&asked, response.headers().get(header::ETAG));
            response
        }
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
    let route = kept_answer::route(request);
    let for_all = request.method() == Method::GET
        && PUBLIC.contains(&route)
        // Some handlers tell people what is theirs.
        && (route != FOR_SOMEBODY || !request.headers().contains_key(header::AUTHORIZATION));
    kept_answer::asked(request).filter(|_| for_all)
}

impl LastAnswers {
    async fn remember(&self, asked: String, response: Response) -> Response {
        let is_known = self.answers().get(&asked).is_some_and(|known| known.at.elapsed() < REFRESH);
        if is_known {
            return response;
        }
        match KeptAnswer::of(response).await {
            Ok(kept) => {
                self.keep(asked, Answer { kept: kept.clone(), at: Instant::now() });
                kept.into_response()
            }
            Err(response) => response,
        }
    }

    /// Something was changed by a request to this path: whoever is shown may have asked not to be, and so may what the path names. In lists
    /// it stands until these are read again, which they are all the time.
    fn forget(&self, path: &str) {
        let changed = path.split_inclusive('/').take(3).collect::<String>();
        let changed = changed.trim_end_matches('/');
        self.answers().retain(|asked, _| !asked.starts_with("/users/") && !asked.starts_with(changed));
    }

    /// Somebody has the same, and was told that it is so still.
    fn confirm(&self, asked: &str, tag: Option<&HeaderValue>) {
        if let Some(answer) = self.answers().get_mut(asked)
            && tag.is_some()
            && answer.kept.headers.get(header::ETAG) == tag
        {
            answer.at = Instant::now();
        }
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
        let Answer { kept, at } = self.answers().get(asked).cloned()?;
        let age = now.duration_since(at);
        if age > OLDEST {
            return None;
        }
        let mut response = kept.into_response();
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
/// With [`LARGEST`](crate::kept_answer::LARGEST) 32 MB at the very most; pages of twenty have a fifth of that.
const MOST: usize = 512;
/// What is asked for all the time is copied once in so long.
const REFRESH: Duration = Duration::from_secs(1);
/// Longer than a restart of PostgreSQL, or going over to its standby, takes.
const OLDEST: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(at: Instant) -> Answer {
        Answer {
            kept: KeptAnswer {
                headers: [(header::ETAG, HeaderValue::from_static("\"1\""))].into_iter().collect(),
                body: "[]".into(),
            },
            at,
        }
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
    async fn what_browsers_are_told_is_so_still_is_as_good_as_new() {
        let last = LastAnswers::default();
        last.keep("/streams/a".to_owned(), answered(Instant::now()));
        for (tag, age) in [("\"1\"", "0"), ("\"2\"", "60")] {
            tokio::time::advance(Duration::from_mins(1)).await;
            last.confirm("/streams/a", Some(&HeaderValue::from_static(tag)));
            let answer = last.answer("/streams/a", Instant::now()).unwrap();
            assert_eq!(answer.headers()[header::AGE], age, "{tag}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_changed_is_forgotten_and_so_are_people() {
        for (path, left) in [
            ("/streams/a", vec!["/streams", "/streams/b"]),
            ("/streams/a/thumbnail", vec!["/streams", "/streams/b"]),
            ("/admin/users/ana/ban", vec!["/streams", "/streams/a", "/streams/b"]),
        ] {
            let last = LastAnswers::default();
            for asked in
                ["/streams", "/streams/a", "/streams/b", "/users/@ana", "/users/@ana/streams?limit=2"]
            {
                last.keep(asked.to_owned(), answered(Instant::now()));
            }
            last.forget(path);
            let mut there: Vec<_> = last.answers().keys().cloned().collect();
            there.sort();
            assert_eq!(there, left, "{path}");
        }
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
