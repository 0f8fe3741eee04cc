//! Names and addresses of accounts as they are compared: in look-ups, in unique constraints and in limits alike.
//!
//! Nothing else lowercases a name. Two rules that differ for a single character make two limits of one account, or two
//! accounts of one name.

use chrono::{DateTime, Utc};
use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use sqlx::PgPool;
use sqlx::postgres::PgQueryResult;
use uuid::Uuid;

/// A name that equals another however either was written: compatibility forms and case are folded (Unicode §3.13,
/// D146, composed).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NormalName(String);

impl NormalName {
    pub(crate) fn of(name: &str) -> Self {
        let case = CaseMapper::new();
        let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(name);
        let folded = case.fold_string(&decomposed);
        let compatible = DecomposingNormalizerBorrowed::new_nfkd().normalize(&folded);
        let folded = case.fold_string(&compatible);
        Self(ComposingNormalizerBorrowed::new_nfkc().normalize(&folded).into_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives accounts from before there were normal names theirs.
///
/// Where two accounts have one name, which the former indexes allowed in some locales, the older keeps it and the younger
/// has none: its owner logs in by the other of name and address. Replicas that start together do the same in the same order.
pub(crate) async fn fill_in(database: &PgPool) -> Result<(), sqlx::Error> {
    let mut after: Option<(DateTime<Utc>, Uuid)> = None;
    loop {
        let page = sqlx::query!(
            r#"select id, username, email, created_at from users
               where (username_normal is null or email_normal is null)
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
            let (username, email) = (NormalName::of(&user.username), NormalName::of(&user.email));
            let named = sqlx::query!(
                "update users set username_normal = $2 where id = $1 and username_normal is null",
                user.id,
                username.as_str()
            );
            keep_unless_taken(user.id, "username", named.execute(database).await)?;
            let addressed = sqlx::query!(
                "update users set email_normal = $2 where id = $1 and email_normal is null",
                user.id,
                email.as_str()
            );
            keep_unless_taken(user.id, "email", addressed.execute(database).await)?;
        }
    }
}

fn keep_unless_taken(
    user: Uuid,
    what: &str,
    done: Result<PgQueryResult, sqlx::Error>,
) -> Result<(), sqlx::Error> {
    match done {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            tracing::warn!(%user, what, "an older account has the same one; this account cannot log in by it");
            Ok(())
        }
        done => done.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(name: &str) -> String {
        NormalName::of(name).0
    }

    #[test]
    fn a_name_is_the_same_however_it_is_written() {
        for (name, same) in [
            ("Admin", "admin"),
            ("ＡＤＭＩＮ", "admin"),
            ("\u{212a}im", "kim"),
            ("ſam", "sam"),
            ("STRASSE", "straße"),
            ("ﬁn", "FIN"),
            ("e\u{301}va", "ÉVA"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Ana@Example.Test", "ana＠example.test"),
        ] {
            assert_eq!(normal(name), normal(same), "{name} {same}");
        }
    }

    #[test]
    fn a_turkish_i_is_another_letter_in_every_place() {
        assert_ne!(normal("admİn"), "admin");
        assert_ne!(normal("admın"), "admin");
    }

    proptest! {
        #[test]
        fn a_normal_name_is_its_own(name in any::<String>()) {
            let once = normal(&name);
            prop_assert_eq!(normal(&once), once);
        }

        #[test]
        fn upper_and_lower_case_are_one(name in "[A-Za-z0-9_@.+-]{1,60}") {
            prop_assert_eq!(normal(&name), name.to_ascii_lowercase());
            prop_assert_eq!(normal(&name.to_ascii_uppercase()), name.to_ascii_lowercase());
        }
    }
}
