//! Pictures of people that others had better not see.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Act, Actor, record};
use crate::error::Error;
use crate::people::PeopleError;
use crate::pictures::{self, PictureKind};
use crate::stream::Owner;

/// Takes somebody's avatar away; of who has none nothing is recorded.
pub(crate) async fn remove_avatar(tx: &mut PgConnection, actor: Actor, user: Uuid) -> Result<(), Error> {
    Owner::lock(tx, user).await?.ok_or(PeopleError::Unknown)?;
    let removed = sqlx::query!(
        "update users set avatar_url = null, updated_at = now() where id = $1 and avatar_url is not null",
        user
    );
    if removed.execute(&mut *tx).await?.rows_affected() > 0 {
        pictures::hide(&mut *tx, PictureKind::Avatar, user).await?;
        record(tx, actor, Act::AvatarRemoved { user }).await?;
    }
    Ok(())
}
