//! All that a message must pass, as a replica remembers it of one room.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::links::has_link;
use super::place::{Place, Role};
use super::settings::{Links, Settings};
use super::terms::Terms;
use crate::chat::ChatError;

/// The rules of a room at one version of its channel's.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) channel: Uuid,
    /// `chat_settings.version`.
    pub(crate) version: i64,
    /// The broadcast is over, and the room with it.
    pub(crate) over: bool,
    pub(crate) settings: Settings,
    pub(crate) moderators: HashSet<Uuid>,
    pub(crate) bans: HashMap<Uuid, Ban>,
    pub(crate) terms: Arc<Terms>,
}

/// Somebody may not talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    /// None is for good.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// What somebody is told of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    pub(crate) role: Role,
    pub(crate) banned: bool,
    /// Null where there is no ban, or none that ends.
    pub(crate) banned_until: Option<DateTime<Utc>>,
}

impl Rules {
    /// Who somebody is here.
    pub(crate) fn place_of(&self, user: Uuid, admin: bool) -> Place {
        Place { owner: user == self.channel, moderator: self.moderators.contains(&user), admin }
    }

    /// Whether somebody may talk here at all.
    pub(crate) fn let_in(&self, user: Uuid, now: DateTime<Utc>) -> Result<(), ChatError> {
        if self.over {
            return Err(ChatError::Ended);
        }
        match self.ban_of(user, now) {
            None => Ok(()),
            Some(Ban { until: None }) => Err(ChatError::BannedHere),
            Some(Ban { until: Some(until) }) => {
                Err(ChatError::TimedOut((until - now).to_std().unwrap_or_default()))
            }
        }
    }

    /// Whether the words are those of somebody who does not keep order here.
    pub(crate) fn allow(&self, text: &str) -> Result<(), ChatError> {
        if self.settings.links == Links::Block && has_link(text) {
            return Err(ChatError::LinksBlocked);
        }
        if self.terms.are_in(text) {
            return Err(ChatError::BlockedTerm);
        }
        Ok(())
    }

    /// Whether a viewer who has followed since then, or not at all, may talk, whatever they say.
    pub(crate) fn modes_allow(
        &self,
        followed: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), ChatError> {
        if self.settings.subs_only {
            return Err(ChatError::SubsOnly);
        }
        // There are no emotes yet, so no message has nothing but emotes.
        if self.settings.emote_only {
            return Err(ChatError::EmotesOnly);
        }
        if let Some(minutes) = self.settings.followers_only_minutes {
            let long = followed.is_some_and(|since| (now - since).num_minutes() >= i64::from(minutes));
            if !long {
                return Err(ChatError::FollowersOnly(minutes));
            }
        }
        Ok(())
    }

    pub(crate) fn standing_of(&self, user: Uuid, admin: bool, now: DateTime<Utc>) -> Standing {
        let ban = self.ban_of(user, now);
        Standing {
            role: self.place_of(user, admin).role(),
            banned: ban.is_some(),
            banned_until: ban.and_then(|ban| ban.until),
        }
    }

    fn ban_of(&self, user: Uuid, now: DateTime<Utc>) -> Option<Ban> {
        self.bans.get(&user).copied().filter(|ban| ban.until.is_none_or(|until| until > now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rules(change: impl FnOnce(&mut Rules)) -> Rules {
        let mut rules = Rules {
            channel: Uuid::from_u128(1),
            version: 1,
            over: false,
            settings: Settings::DEFAULT,
            moderators: HashSet::new(),
            bans: HashMap::new(),
            terms: Arc::new(Terms::none()),
        };
        change(&mut rules);
        rules
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_ban_holds_until_it_ends() {
        let (bob, eve, kim) = (Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4));
        let rules = rules(|rules| {
            rules.bans = HashMap::from([(bob, Ban { until: None }), (eve, Ban { until: Some(at(60)) })]);
            rules.moderators = HashSet::from([kim]);
        });
        assert_eq!(rules.let_in(bob, at(0)), Err(ChatError::BannedHere));
        assert_eq!(rules.let_in(eve, at(0)), Err(ChatError::TimedOut(Duration::from_secs(60))));
        assert_eq!(rules.let_in(eve, at(60)), Ok(()));
        assert_eq!(rules.let_in(kim, at(0)), Ok(()));
        let standing = |user, admin, now| {
            let Standing { role, banned, banned_until } = rules.standing_of(user, admin, now);
            (role, banned, banned_until)
        };
        assert_eq!(standing(bob, false, at(0)), (Role::Viewer, true, None));
        assert_eq!(standing(eve, true, at(0)), (Role::Admin, true, Some(at(60))));
        assert_eq!(standing(eve, false, at(61)), (Role::Viewer, false, None));
        assert_eq!(standing(kim, false, at(0)), (Role::Moderator, false, None));
        assert_eq!(standing(rules.channel, false, at(0)), (Role::Owner, false, None));
    }

    #[test]
    fn a_room_that_is_over_is_nobody_s() {
        let rules = rules(|rules| rules.over = true);
        assert_eq!(rules.let_in(rules.channel, at(0)), Err(ChatError::Ended));
    }

    #[test]
    fn each_mode_refuses_whom_it_is_meant_for() {
        type Switch = fn(&mut Settings);
        type Case = (Switch, Option<DateTime<Utc>>, Result<(), ChatError>);
        let (long, short) = (Some(at(-600)), Some(at(-599)));
        let cases: [Case; 8] = [
            (|_| (), None, Ok(())),
            (|on| on.subs_only = true, long, Err(ChatError::SubsOnly)),
            (|on| on.emote_only = true, long, Err(ChatError::EmotesOnly)),
            (|on| on.followers_only_minutes = Some(0), None, Err(ChatError::FollowersOnly(0))),
            (|on| on.followers_only_minutes = Some(0), Some(at(0)), Ok(())),
            (|on| on.followers_only_minutes = Some(10), short, Err(ChatError::FollowersOnly(10))),
            (|on| on.followers_only_minutes = Some(10), long, Ok(())),
            (|on| on.slow_seconds = 120, None, Ok(())),
        ];
        for (n, (switch, followed, verdict)) in cases.into_iter().enumerate() {
            let rules = rules(|rules| switch(&mut rules.settings));
            assert_eq!(rules.modes_allow(followed, at(0)), verdict, "{n}");
        }
    }

    #[test]
    fn words_are_refused_for_a_term_or_a_link() {
        let rules = rules(|rules| {
            rules.terms = Arc::new(Terms::compile(vec!["spam".to_owned()]));
            rules.settings.links = Links::Block;
        });
        assert_eq!(rules.allow("hola"), Ok(()));
        assert_eq!(rules.allow("SP4M"), Err(ChatError::BlockedTerm));
        assert_eq!(rules.allow("example.com"), Err(ChatError::LinksBlocked));
    }
}
