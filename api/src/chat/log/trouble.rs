//! What keeps chat's log from Redis, said once when it begins and once when it ends: everybody who talks meanwhile meets it.

use std::sync::{Mutex, PoisonError};

use redis::RedisError;

/// As last said.
#[derive(Default)]
pub(super) struct Troubles(Mutex<Option<Trouble>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Away,
    /// It has come to its `maxmemory`.
    Full,
    /// Too many messages wait for PostgreSQL.
    Behind,
}

/// What Redis has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// It can be read from, also while it is full.
    Look,
    /// It has taken something.
    Event,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Begins(Trouble),
    Ends,
}

impl Troubles {
    pub(super) fn answered(&self, what: Answered) {
        if self.heard(Ok(what)).is_some() {
            tracing::info!("Redis takes chat messages again");
        }
    }

    pub(super) fn failed(&self, error: &RedisError) {
        // Before version 7 the code of what a script did stands in the words only.
        let full = error.code() == Some("OOM") || error.to_string().contains("OOM command not allowed");
        match self.heard(Err(if full { Trouble::Full } else { Trouble::Away })) {
            Some(_) if full => {
                tracing::error!(%error, "Redis (REDIS_URL) is full: chat messages are refused until it has room; see its maxmemory");
            }
            Some(_) => tracing::warn!(%error, "chat needs Redis, which does not answer"),
            None => {}
        }
    }

    pub(super) fn behind(&self, most: usize) {
        if self.heard(Err(Trouble::Behind)).is_some() {
            tracing::error!(most, "messages wait for PostgreSQL, and Redis takes no more");
        }
    }

    /// Whether that is news.
    fn heard(&self, news: Result<Answered, Trouble>) -> Option<Change> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match news {
            Err(trouble) if *said == Some(trouble) => None,
            Err(trouble) => {
                *said = Some(trouble);
                Some(Change::Begins(trouble))
            }
            Ok(Answered::Look) if *said != Some(Trouble::Away) => None,
            Ok(_) => said.take().map(|_| Change::Ends),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_said_once_and_its_end_too() {
        let troubles = Troubles::default();
        let begins = |trouble| Some(Change::Begins(trouble));
        for (news, said) in [
            (Ok(Answered::Event), None),
            (Err(Trouble::Away), begins(Trouble::Away)),
            (Err(Trouble::Away), None),
            (Ok(Answered::Look), Some(Change::Ends)),
            (Err(Trouble::Full), begins(Trouble::Full)),
            // Rooms are still looked at.
            (Ok(Answered::Look), None),
            (Err(Trouble::Full), None),
            (Err(Trouble::Away), begins(Trouble::Away)),
            (Err(Trouble::Behind), begins(Trouble::Behind)),
            (Ok(Answered::Look), None),
            (Ok(Answered::Event), Some(Change::Ends)),
            (Ok(Answered::Event), None),
        ] {
            assert_eq!(troubles.heard(news), said);
        }
    }

    #[test]
    fn a_full_redis_is_not_one_that_is_away() {
        let parsed =
            redis::parse_redis_value(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
        let error = parsed.and_then(redis::Value::extract_error).unwrap_err();
        let troubles = Troubles::default();
        troubles.failed(&error);
        assert_eq!(troubles.heard(Err(Trouble::Full)), None);
    }
}
