//! Which usernames nobody can have: those of the platform itself, and those that pass for somebody else's.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::disguise::{Reading, Stars, words};
use crate::names::NormalName;

/// What a username looks like. Two names with one skeleton are told apart only by who looks closely (UTS #39 §4, as far as
/// usernames go, which are letters, digits and underscores of ASCII).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skeleton(String);

impl Skeleton {
    pub(crate) fn of(username: &str) -> Self {
        let mut skeleton = String::with_capacity(username.len());
        for character in NormalName::of(username).as_str().chars() {
            match character {
                // Seen by nobody between two names in one line.
                '_' => {}
                '0' => skeleton.push('o'),
                '1' | 'i' => skeleton.push('l'),
                'm' => skeleton.push_str("rn"),
                'w' => skeleton.push_str("vv"),
                other => skeleton.push(other),
            }
        }
        Self(skeleton)
    }

    /// What a name of any letters passes for: without accents and spaces, and with the Latin letters that others look like.
    pub(crate) fn of_display_name(name: &str) -> Self {
        Self::of(&words(name, Reading::Plain, Stars::Punctuation).replace(' ', ""))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name of the platform's looks like this.
    pub(crate) fn is_reserved(&self) -> bool {
        RESERVED.iter().any(|reserved| Self::of(reserved) == *self)
    }

    /// `former_names.skeleton_hash`.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(&self.0).to_vec()
    }
}

/// Whether the platform speaks by this name, has a page there, or may have one some day; or it looks as if.
pub(crate) fn is_reserved(username: &str) -> bool {
    NormalName::of(username).as_str().starts_with(DELETED) || Skeleton::of(username).is_reserved()
}

/// The name that an account has after its deletion.
pub(crate) fn of_deleted(user: Uuid) -> String {
    // The random half of a UUIDv7.
    let hex = user.simple().to_string();
    format!("{DELETED}{}", hex.get(16..).unwrap_or(&hex))
}

/// Gives accounts their skeletons that have none: from before there were any, or from a replica of an older version. Of two
/// that look alike the older one has it, and nobody loses a name.
pub(crate) async fn fill_in(database: &PgPool) -> Result<(), sqlx::Error> {
    let mut after: Option<(DateTime<Utc>, Uuid)> = None;
    loop {
        let page = sqlx::query!(
            r#"select id, username, created_at from users
               where username_skeleton is null and deleted_at is null
                 and ($1::timestamptz is null or (created_at, id) > ($1, $2::uuid))
               order by created_at, id limit 1000"#,
            after.map(|after| after.0),
            after.map(|after| after.1)
        )
        .fetch_all(database)
        .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.created_at, last.id));
        for user in page {
            let skeleton = Skeleton::of(&user.username);
            let filled = sqlx::query!(
                "update users set username_skeleton = $2 where id = $1 and username_skeleton is null and deleted_at is null",
                user.id,
                skeleton.as_str()
            );
            match filled.execute(database).await {
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                    tracing::debug!(user = %user.id, "an older account's name looks like this one's");
                }
                done => {
                    done?;
                }
            }
        }
    }
}

/// What the names of deleted accounts begin with.
const DELETED: &str = "deleted_";

/// By what they look like, so that `adm1n` is one of them. Pages' addresses are web/src/routing/route.ts's.
const RESERVED: &[&str] = &[
    // Who runs a server.
    "abuse",
    "admin",
    "administrator",
    "admins",
    "bot",
    "caudal",
    "contact",
    "help",
    "helpdesk",
    "hostmaster",
    "info",
    "mod",
    "moderation",
    "moderator",
    "moderators",
    "mods",
    "noreply",
    "official",
    "operator",
    "owner",
    "postmaster",
    "root",
    "security",
    "staff",
    "support",
    "sysadmin",
    "system",
    "team",
    "webmaster",
    // Nobody, or everybody at once.
    "anonymous",
    "channel",
    "deleted",
    "everyone",
    "here",
    "me",
    "nobody",
    "null",
    "undefined",
    // Addresses.
    "about",
    "account",
    "api",
    "assets",
    "billing",
    "categories",
    "category",
    "chat",
    "dash",
    "discover",
    "docs",
    "faq",
    "favicon",
    "following",
    "health",
    "hls",
    "home",
    "index",
    "internal",
    "invite",
    "legal",
    "live",
    "login",
    "logout",
    "media",
    "metrics",
    "notifications",
    "password",
    "pictures",
    "pricing",
    "privacy",
    "register",
    "resetpassword",
    "robots",
    "rtmp",
    "search",
    "settings",
    "signin",
    "signup",
    "socket",
    "socketio",
    "static",
    "status",
    "studio",
    "subscriptions",
    "terms",
    "thumbnails",
    "verify",
    "verifyemail",
    "watch",
    "webhooks",
    "ws",
    "www",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_look_alike_have_one_skeleton_and_others_do_not() {
        for (name, same) in [
            ("ana_92", "ANA92"),
            ("_ana_", "ana"),
            ("bo0m", "boom"),
            ("bill", "b1ll"),
            ("bill", "bi1l"),
            ("marta", "rnarta"),
            ("wanda", "VVanda"),
            ("r_n", "m"),
            ("burnrnm", "bummm"),
        ] {
            assert_eq!(Skeleton::of(name), Skeleton::of(same), "{name} {same}");
        }
        for (name, other) in
            [("ana", "anna"), ("ana2", "anaz"), ("ana5", "anas"), ("marta", "narta"), ("u", "v")]
        {
            assert_ne!(Skeleton::of(name), Skeleton::of(other), "{name} {other}");
        }
    }

    #[test]
    fn the_platform_s_names_are_nobody_s_however_they_are_disguised() {
        for name in [
            "admin",
            "Adm1n",
            "a_d_m_i_n",
            "adrnin",
            "R00T",
            "Support",
            "caudal",
            "vvvvvv",
            "deleted_ana",
            "null",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["ana", "admina", "notroot", "alive", "deletedscenes", "marea"] {
            assert!(!is_reserved(name), "{name}");
        }
        assert!(is_reserved(&of_deleted(Uuid::now_v7())));
        assert_eq!(of_deleted(Uuid::now_v7()).len(), 24);
    }

    proptest! {
        #[test]
        fn a_name_has_the_skeleton_of_its_parts(one in "[A-Za-z0-9_]{0,12}", other in "[A-Za-z0-9_]{0,12}") {
            let whole = Skeleton::of(&format!("{one}{other}"));
            prop_assert_eq!(whole.0, Skeleton::of(&one).0 + &Skeleton::of(&other).0);
        }

        #[test]
        fn names_that_are_compared_as_one_look_alike_too(name in "[A-Za-z0-9_]{3,25}") {
            prop_assert_eq!(Skeleton::of(&name), Skeleton::of(&name.to_ascii_uppercase()));
        }
    }
}
