//! Following, and blocking, which ends it on both sides.
//!
//! Both lock the rows in `users` of whom they are about, following with a shared lock, so that of a follow and a block at one
//! moment the later sees what the earlier did. A follow locks its two in the order of their ids.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::error::MOST_RELATIONS;
use super::{FormerPerson, KnownPerson, PeopleError};
use crate::auth::Caller;
use crate::error::Error;
use crate::outbox::{self, Job};

/// Lets the caller follow somebody; that they do already is as good.
pub(crate) async fn follow(
    database: &PgPool,
    caller: Caller,
    KnownPerson(person): KnownPerson,
) -> Result<(), Error> {
    let follower = other_than(caller, person)?;
    let mut tx = database.begin().await?;
    sqlx::query!("select id from users where id = any($1) order by id for share", &[follower, person])
        .fetch_all(&mut *tx)
        .await?;
    let standing = sqlx::query!(
        r#"select exists (
                      select from user_blocks
                      where (blocker_id, blocked_id) in (($1, $2), ($2, $1))
                  ) as "blocked!",
                  exists (select from followers where follower_id = $1 and following_id = $2) as "follows!",
                  (select count(*) from followers where follower_id = $1) as "following!""#,
        follower,
        person
    )
    .fetch_one(&mut *tx)
    .await?;
    if standing.follows {
        return Ok(());
    }
    if standing.blocked {
        return Err(PeopleError::Blocked.into());
    }
    if standing.following >= MOST_RELATIONS {
        return Err(PeopleError::TooMany.into());
    }
    let begun = sqlx::query!(
        "insert into followers (follower_id, following_id) values ($1, $2) on conflict do nothing",
        follower,
        person
    )
    .execute(&mut *tx)
    .await?;
    if begun.rows_affected() > 0 {
        outbox::put(&mut tx, &Job::NewFollower { follower, followed: person }).await?;
    }
    Ok(tx.commit().await?)
}

/// Ends that; that they did not is as good.
pub(crate) async fn unfollow(
    database: &PgPool,
    caller: Caller,
    FormerPerson(person): FormerPerson,
) -> Result<(), Error> {
    let mut connection = database.acquire().await?;
    end_follow(&mut connection, caller.user, person).await
}

/// Keeps somebody away from the caller: neither follows the other any more, nor can again.
pub(crate) async fn block(
    database: &PgPool,
    caller: Caller,
    KnownPerson(person): KnownPerson,
) -> Result<(), Error> {
    let blocker = other_than(caller, person)?;
    let mut tx = database.begin().await?;
    sqlx::query!("select id from users where id = $1 for no key update", blocker)
        .fetch_optional(&mut *tx)
        .await?;
    let blocked = sqlx::query_scalar!(
        r#"select count(*) as "blocked!" from user_blocks where blocker_id = $1 and blocked_id <> $2"#,
        blocker,
        person
    );
    if blocked.fetch_one(&mut *tx).await? >= MOST_RELATIONS {
        return Err(PeopleError::TooMany.into());
    }
    sqlx::query!(
        "insert into user_blocks (blocker_id, blocked_id) values ($1, $2) on conflict do nothing",
        blocker,
        person
    )
    .execute(&mut *tx)
    .await?;
    // What they were told of each other goes too.
    sqlx::query!(
        "delete from notifications where (user_id, actor_id) in (($1, $2), ($2, $1))",
        blocker,
        person
    )
    .execute(&mut *tx)
    .await?;
    end_follow(&mut tx, blocker, person).await?;
    end_follow(&mut tx, person, blocker).await?;
    Ok(tx.commit().await?)
}

/// Ends a block; who followed whom before does not come back.
pub(crate) async fn unblock(
    database: &PgPool,
    caller: Caller,
    FormerPerson(person): FormerPerson,
) -> Result<(), Error> {
    sqlx::query!("delete from user_blocks where blocker_id = $1 and blocked_id = $2", caller.user, person)
        .execute(database)
        .await?;
    Ok(())
}

async fn end_follow(db: &mut PgConnection, follower: Uuid, person: Uuid) -> Result<(), Error> {
    sqlx::query!("delete from followers where follower_id = $1 and following_id = $2", follower, person)
        .execute(db)
        .await?;
    Ok(())
}

fn other_than(caller: Caller, person: Uuid) -> Result<Uuid, PeopleError> {
    if caller.user == person { Err(PeopleError::Oneself) } else { Ok(caller.user) }
}
