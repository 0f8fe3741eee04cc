//! What one socket may do in rooms, whatever its wire looks like.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use uuid::Uuid;

use super::answer::Answer;
use super::speak::{self, Saying};
use super::speaker::Speaker;
use crate::app::{Accounts, Chat};
use crate::auth::AuthError;
use crate::error::Error;

/// Nobody in particular at first, who only listens.
#[derive(Debug, Default)]
pub(super) struct Voice {
    speaker: Option<Speaker>,
    /// Frames of what was said here, which rooms tell everybody, and this socket has in its answers.
    own: VecDeque<Utf8Bytes>,
}

impl Voice {
    /// Takes an access token; a later one replaces the earlier.
    pub(super) async fn authenticate(&mut self, accounts: &Accounts, token: &str) -> Answer {
        match Speaker::of(accounts, token).await {
            Ok(speaker) => {
                self.speaker = Some(speaker);
                Answer::done()
            }
            Err(error) => Answer::from(&error),
        }
    }

    /// Who it is, once they have said so.
    pub(super) fn person(&self) -> Option<Uuid> {
        self.speaker.as_ref().map(|speaker| speaker.author().id)
    }

    /// How long the access token lasts; none while there is none.
    pub(super) fn lasts(&self) -> Option<Duration> {
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
            Ok(speaker) => speaker.author().id,
            Err(error) => return Answer::from(&error),
        };
        match speak::remove(chat, by, stream, message).await {
            Ok(()) => Answer::done(),
            Err(error) => error.into(),
        }
    }

    /// Whether a room tells what was said here; each is told once.
    pub(super) fn is_own(&mut self, told: &Utf8Bytes) -> bool {
        let place = self.own.iter().position(|own| own == told);
        place.is_some_and(|place| self.own.remove(place).is_some())
    }

    async fn speaker(&mut self, accounts: &Accounts) -> Result<&Speaker, Error> {
        let speaker = self.speaker.as_mut().ok_or(AuthError::Unauthenticated)?;
        let still = speaker.still_may(accounts).await;
        if still.is_err() {
            self.speaker = None;
        }
        still?;
        Ok(self.speaker.as_ref().ok_or(AuthError::Unauthenticated)?)
    }
}

/// Own messages that the room has not told yet; each is there within a moment.
const OWN: usize = 16;
