//! Which schema this version makes, and which newer ones it works with.

use std::borrow::Cow;

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

/// The schema, step by step. Each is known by a number, and steps of later versions have higher ones.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Takes the steps that have not been taken yet. A schema that a newer version has added to stays as it is: replicas of two releases run
/// side by side during an upgrade, and after one that is taken back.
///
/// sqlx holds an advisory lock while it runs, so that replicas starting together do not race.
///
/// # Errors
/// In words for the operator; also when a newer version has taken something away that this one needs.
pub async fn bring_up_to_date(pool: &PgPool) -> Result<(), String> {
    // A schema that this version cannot use gets no steps of it either.
    check_compatibility(pool).await?;
    let mut migrator =
        Migrator { migrations: Cow::Owned(MIGRATIONS.iter().cloned().collect()), ..Migrator::DEFAULT };
    migrator.set_ignore_missing(true);
    migrator.run(pool).await.map_err(|error| words(&error))?;
    // While this version waited for the lock, a newer one that held it may have taken something away.
    check_compatibility(pool).await
}

/// The rule for `min_version` is in CONTRIBUTING.md, Migrations.
async fn check_compatibility(pool: &PgPool) -> Result<(), String> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let min_version = min_version(pool).await.map_err(|error| words(&error.into()))?;
    match min_version.filter(|needed| *needed > newest) {
        None => Ok(()),
        Some(needed) => Err(format!(
            "a newer Caudal has changed this database (migration {needed}, and this version knows {newest}); \
             start that version, or restore a backup from before it"
        )),
    }
}

/// Which migration a version has to know; none where the database is older than that rule.
async fn min_version(pool: &PgPool) -> Result<Option<i64>, sqlx::Error> {
    let told: bool =
        sqlx::query_scalar("select to_regclass('schema_compatibility') is not null").fetch_one(pool).await?;
    if !told {
        return Ok(None);
    }
    sqlx::query_scalar("select min_version from schema_compatibility").fetch_optional(pool).await
}

fn words(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(sqlx::Error::Database(refusal))
        | MigrateError::ExecuteMigration(sqlx::Error::Database(refusal), _)
            if refusal.code().as_deref() == Some("42501") =>
        {
            format!("{}; {MISSING_RIGHTS}", refusal.message())
        }
        MigrateError::VersionMismatch(migration) => {
            format!(
                "migration {migration} of this database is not the one of this version; was it made by a development build?"
            )
        }
        other => format!("it cannot be brought up to date: {other}"),
    }
}

pub(crate) const MISSING_RIGHTS: &str =
    "the role in DATABASE_URL must own the database: alter database NAME owner to ROLE";
