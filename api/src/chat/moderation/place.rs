//! What somebody is in a room, and on whom they may act there.

use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

/// What somebody is in a room. Platform admins are like moderators of every room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) owner: bool,
    pub(crate) moderator: bool,
    /// `users.role`.
    pub(crate) admin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Viewer,
    Moderator,
    Owner,
}

/// The word for it, for whoever it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Viewer,
    Moderator,
    Admin,
    Owner,
}

impl Place {
    /// Of somebody with an account, in the channel of `channel`, with their username.
    pub(crate) async fn find(
        db: impl PgExecutor<'_>,
        channel: Uuid,
        user: Uuid,
    ) -> Result<Option<(Self, String)>, sqlx::Error> {
        let found = sqlx::query!(
            r#"select u.username, u.id = $1 as "owner!", u.role = 'admin' as "admin!",
                      exists (
                          select from channel_moderators m where m.channel_id = $1 and m.user_id = u.id
                      ) as "moderator!"
               from users u where u.id = $2 and u.deleted_at is null"#,
            channel,
            user
        );
        Ok(found.fetch_optional(db).await?.map(|found| {
            (Self { owner: found.owner, moderator: found.moderator, admin: found.admin }, found.username)
        }))
    }

    /// Whether they keep the room's order, and so pass its modes.
    pub(crate) fn moderates(self) -> bool {
        self.rank() >= Rank::Moderator
    }

    /// Never on equals or upward. Oneself is an equal, so nobody acts on oneself either.
    pub(crate) fn may_act_on(self, other: Self) -> bool {
        self.moderates() && self.rank() > other.rank()
    }

    pub(crate) fn role(self) -> Role {
        match self {
            Self { owner: true, .. } => Role::Owner,
            Self { moderator: true, .. } => Role::Moderator,
            Self { admin: true, .. } => Role::Admin,
            _ => Role::Viewer,
        }
    }

    /// What is stamped on their messages.
    pub(crate) fn badges(self) -> Vec<String> {
        let worn =
            [("owner", self.owner), ("moderator", self.moderator && !self.owner), ("admin", self.admin)];
        worn.into_iter().filter(|(_, worn)| *worn).map(|(badge, _)| badge.to_owned()).collect()
    }

    fn rank(self) -> Rank {
        if self.owner {
            Rank::Owner
        } else if self.moderator || self.admin {
            Rank::Moderator
        } else {
            Rank::Viewer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEWER: Place = Place { owner: false, moderator: false, admin: false };
    const MODERATOR: Place = Place { moderator: true, ..VIEWER };
    const ADMIN: Place = Place { admin: true, ..VIEWER };
    const BOTH: Place = Place { moderator: true, ..ADMIN };
    const OWNER: Place = Place { owner: true, ..VIEWER };
    const OWNING_ADMIN: Place = Place { owner: true, ..ADMIN };

    #[test]
    fn nobody_acts_upward_or_on_equals() {
        let all = [VIEWER, MODERATOR, ADMIN, BOTH, OWNER, OWNING_ADMIN];
        for (who, on) in [
            (VIEWER, &[][..]),
            (MODERATOR, &[VIEWER]),
            (ADMIN, &[VIEWER]),
            (BOTH, &[VIEWER]),
            (OWNER, &[VIEWER, MODERATOR, ADMIN, BOTH]),
            (OWNING_ADMIN, &[VIEWER, MODERATOR, ADMIN, BOTH]),
        ] {
            for whom in all {
                assert_eq!(who.may_act_on(whom), on.contains(&whom), "{who:?} on {whom:?}");
            }
            assert_eq!(who.moderates(), who != VIEWER);
        }
    }

    #[test]
    fn badges_say_what_somebody_is_and_the_role_what_counts_most() {
        for (place, role, badges) in [
            (VIEWER, Role::Viewer, &[][..]),
            (MODERATOR, Role::Moderator, &["moderator"]),
            (ADMIN, Role::Admin, &["admin"]),
            (BOTH, Role::Moderator, &["moderator", "admin"]),
            (OWNER, Role::Owner, &["owner"]),
            (OWNING_ADMIN, Role::Owner, &["owner", "admin"]),
        ] {
            assert_eq!(place.role(), role);
            assert_eq!(place.badges(), badges);
        }
    }
}
