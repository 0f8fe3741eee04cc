//! Rows of pictures: which files there are, and which of them are shown.

use caudal_storage::{Key, PictureKind};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::error::PictureError;
use crate::error::Error;

/// A picture that is in storage, and that nobody is shown yet. Where it is dropped it is removed some time later.
#[derive(Debug)]
#[must_use]
pub(crate) struct KeptPicture {
    kind: PictureKind,
    id: Uuid,
    subject: Uuid,
    key: Key,
}

impl KeptPicture {
    /// Before its file is written.
    pub(super) async fn begin(
        database: &PgPool,
        kind: PictureKind,
        subject: Uuid,
        owner: Option<Uuid>,
    ) -> Result<Self, Error> {
        let id = Uuid::now_v7();
        sqlx::query!(
            "insert into pictures (id, kind, subject, owner_id) values ($1, $2, $3, $4)",
            id,
            word(kind),
            subject,
            owner
        )
        .execute(database)
        .await?;
        Ok(Self { kind, id, subject, key: Key::Picture(kind, id) })
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Where browsers find it: on the api's own origin, wherever that is.
    pub(crate) fn address(&self) -> String {
        format!("/{}", self.key)
    }

    /// Takes the place of the one before, in the transaction that writes its address into the subject's row. That row is
    /// locked by then: so of two uploads at once one comes after the other.
    pub(crate) async fn show(self, db: &mut PgConnection) -> Result<(), Error> {
        hide(&mut *db, self.kind, self.subject).await?;
        let shown = sqlx::query!(
            r#"update pictures set unused_since = null
               where id = $1 and unused_since > now() - make_interval(mins => $2)"#,
            self.id,
            COMPLETE_WITHIN_MINUTES
        );
        if shown.execute(db).await?.rows_affected() == 0 {
            // This process stood still for minutes; the file may be gone by now.
            return Err(PictureError::Busy.into());
        }
        Ok(())
    }
}

/// Says that the subject's picture is not shown any more, in the transaction that takes its address away.
pub(crate) async fn hide(db: impl PgExecutor<'_>, kind: PictureKind, subject: Uuid) -> Result<(), Error> {
    sqlx::query!(
        r#"update pictures set unused_since = now()
           where kind = $1 and subject = $2 and unused_since is null"#,
        word(kind),
        subject
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The same of all that somebody uploaded of themselves and of their streams, whose account is being deleted and is locked.
pub(crate) async fn hide_of_person(db: &mut PgConnection, person: Uuid) -> Result<(), Error> {
    sqlx::query!(
        r#"with shown as (
               select subject from pictures
               where owner_id = $1 and kind = 'thumbnail' and unused_since is null
           ), locked as (
               select s.id from streams s join shown on shown.subject = s.id order by s.id for no key update of s
           )
           update streams s set thumbnail_url = null, revision = revision + 1 from locked where s.id = locked.id"#,
        person
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update pictures set unused_since = now() where owner_id = $1 and unused_since is null",
        person
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The same of broadcasts that ended long ago.
pub(crate) async fn hide_of_the_past(database: &PgPool) -> Result<(), Error> {
    sqlx::query!(
        r#"with past as (
               select s.id from pictures p join streams s on s.id = p.subject
               where p.kind = 'thumbnail' and p.unused_since is null
                 and s.ended_at < now() - make_interval(days => $1)
               order by s.id limit 1000 for no key update of s
           ), hidden as (
               update pictures p set unused_since = now() from past
               where p.kind = 'thumbnail' and p.subject = past.id and p.unused_since is null
           )
           update streams s set thumbnail_url = null, revision = revision + 1 from past where s.id = past.id"#,
        THUMBNAIL_IS_KEPT_DAYS
    )
    .execute(database)
    .await?;
    Ok(())
}

/// As the database has it.
pub(super) fn word(kind: PictureKind) -> &'static str {
    match kind {
        PictureKind::Avatar => "avatar",
        PictureKind::Thumbnail => "thumbnail",
        PictureKind::Icon => "icon",
    }
}

/// A request takes seconds. Half of what `leftovers` leaves it: nothing is shown whose file may be on its way out.
const COMPLETE_WITHIN_MINUTES: i32 = 5;
/// A month after its end a broadcast is far down its channel's list. In docs/operating.md, too.
const THUMBNAIL_IS_KEPT_DAYS: i32 = 30;
