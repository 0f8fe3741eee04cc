//! What one socket may do in rooms, whatever its wire looks like.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use chrono::Utc;
use uuid::Uuid;

use super::answer::Answer;
use super::moderation::{self, Banning, Standing};
use super::speak::{self, Saying};
use super::speaker::Speaker;
use crate::app::{Accounts, Chat};
use crate::auth::AuthError;
use crate::error::Error;
use crate::limits::LimitError;
use crate::sockets::{Badge, Wearer};

/// Nobody in particular at first, who only listens.
#[derive(Debug)]
pub(crate) struct Voice {
    /// The socket's.
    badge: Arc<Badge>,
    speaker: Option<Speaker>,
    /// Whoever talked may not any more: the conversation is to end, in which everybody takes its listener for that person.
    lost: Option<Lost>,
    /// Frames of what was said here, which rooms tell everybody, and this socket has in its answers.
    own: VecDeque<Utf8Bytes>,
}

/// Why whoever talked may not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The access token has run out.
    Expired,
    /// The log-in was ended, as a ban does it.
    Ended,
}

impl Lost {
    /// None where it says nothing of who talks, as that PostgreSQL is away.
    fn by(error: &Error) -> Option<Self> {
        match error {
            Error::Auth(AuthError::TokenExpired) => Some(Self::Expired),
            Error::Auth(_) => Some(Self::Ended),
            _ => None,
        }
    }

    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Expired => "the access token has expired",
            Self::Ended => "the session has been ended",
        }
    }
}

impl Voice {
    pub(crate) fn new(badge: Arc<Badge>) -> Self {
        Self { badge, speaker: None, lost: None, own: VecDeque::new() }
    }

    /// Why the conversation is to end, once its peer has the answer that says so too.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// Takes an access token; a later one replaces the earlier.
    pub(crate) async fn authenticate(&mut self, accounts: &Accounts, token: &str) -> Answer {
        let speaker = match Speaker::of(accounts, token).await {
            Ok(speaker) => speaker,
            Err(error) => return Answer::from(&error),
        };
        let caller = speaker.caller();
        if let Err(full) = self.badge.put_on(Wearer::from(caller)) {
            tracing::debug!(%full, user = %caller.user, "no room for a socket");
            return Answer::from(&Error::from(LimitError::TooManySockets));
        }
        // Who was banned between the first look and the badge was not found here.
        if let Err(error) = caller.check(accounts).await {
            self.lost = Lost::by(&error);
            // It is whose it was, so that their ban still ends it.
            let kept = self.speaker.as_ref().map(|before| self.badge.put_on(Wearer::from(before.caller())));
            if !matches!(kept, Some(Ok(()))) {
                self.badge.take_off();
            }
            return Answer::from(&error);
        }
        self.speaker = Some(speaker);
        Answer::done()
    }

    /// Who it is.
    pub(crate) fn person(&self) -> Option<Uuid> {
        self.speaker.as_ref().map(|speaker| speaker.author().person.id)
    }

    /// How long the access token lasts; none while there is none.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.speaker.as_ref().map(|speaker| speaker.lasts().unwrap_or_default())
    }

    pub(super) async fn say(&mut self, chat: &Chat, accounts: &Accounts, saying: Saying<'_>) -> Answer {
        let speaker = match self.speaker(accounts).await {
            Ok(speaker) => speaker,
            Err(error) => return Answer::from(&error),
        };
        match speak::say(chat, speaker.author(), saying).await {
            Ok(event) => {
                self.own.push_back(event.frame.clone());
                if self.own.len() > OWN {
                    self.own.pop_front();
                }
                Answer::said(&event)
            }
            Err(error) => error.into(),
        }
    }

    pub(super) async fn remove(
        &mut self,
        chat: &Chat,
        accounts: &Accounts,
        stream: StreamId,
        message: Uuid,
    ) -> Answer {
        let by = match self.speaker(accounts).await {
            Ok(speaker) => speaker.author().person.id,
            Err(error) => return Answer::from(&error),
        };
        match speak::remove(chat, by, stream, message).await {
            Ok(()) => Answer::done(),
            Err(error) => error.into(),
        }
    }

    /// Keeps somebody from talking in a stream's channel, for a while or for good.
    pub(super) async fn ban(
        &mut self,
        chat: &Chat,
        accounts: &Accounts,
        stream: StreamId,
        person: Uuid,
        banning: &Banning,
    ) -> Answer {
        let by = match self.speaker(accounts).await {
            Ok(speaker) => speaker.author().person.id,
            Err(error) => return Answer::from(&error),
        };
        match moderation::ban(chat, stream, by, person, banning).await {
            Ok(()) => Answer::done(),
            Err(error) => Answer::from(&error),
        }
    }

    /// Who whoever talks here is in a room; none while that is nobody, or cannot be told.
    pub(super) async fn standing(&self, chat: &Chat, stream: StreamId) -> Option<Standing> {
        let author = self.speaker.as_ref()?.author();
        let rules = chat.hub.rules().of(stream).await.ok()?;
        Some(rules.standing_of(author.person.id, author.admin, Utc::now()))
    }

    /// Whether a room tells what was said here; each is told once.
    pub(super) fn is_own(&mut self, told: &Utf8Bytes) -> bool {
        let place = self.own.iter().position(|own| own == told);
        place.is_some_and(|place| self.own.remove(place).is_some())
    }

    async fn speaker(&mut self, accounts: &Accounts) -> Result<&Speaker, Error> {
        let speaker = self.speaker.as_mut().ok_or(AuthError::Unauthenticated)?;
        if let Err(error) = speaker.still_may(accounts).await {
            self.lost = Lost::by(&error);
            return Err(error);
        }
        Ok(speaker)
    }
}

/// Own messages that the room has not told yet; each is there within a moment.
const OWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_talk_any_more_is_lost_and_nobody_is_while_postgresql_is_away() {
        for (error, lost) in [
            (Error::Auth(AuthError::TokenExpired), Some(Lost::Expired)),
            (Error::Auth(AuthError::SessionRevoked), Some(Lost::Ended)),
            (Error::Database(sqlx::Error::PoolTimedOut), None),
            (Error::Database(sqlx::Error::RowNotFound), None),
        ] {
            assert_eq!(Lost::by(&error), lost, "{error}");
        }
    }
}
