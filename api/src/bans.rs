//! Broadcasts that a ban ends. An operator may ban by `users.banned_at` alone (docs/operating.md), and then nobody tells the
//! api: it looks. An admin's ban ends the broadcast itself (`administration`), and this is what repeats it.

use crate::app::Streams;
use crate::error::Error;
use crate::stream::{End, Owner, request_end};

/// Ends the broadcasts of everybody who is banned or deleted. New ones are refused by `authorize`, and sessions wherever
/// they are used (`auth::Caller`, refreshing, logging in). The background's next piece of work gives the orders, side by side.
pub(crate) async fn enforce(streams: &Streams) -> Result<(), Error> {
    let running = sqlx::query_scalar!(
        r#"select s.id from streams s join users u on u.id = s.user_id
           where (u.banned_at is not null or u.deleted_at is not null)
             and s.ended_at is null and s.end_requested_at is null and (s.is_live or s.authorized_at is not null)
           order by s.id limit 100"#
    )
    .fetch_all(&streams.database)
    .await?;
    for stream in running {
        let mut tx = streams.database.begin().await?;
        let Some(owner) = Owner::lock_of_stream(&mut tx, stream).await? else { continue };
        request_end(&mut tx, owner, stream, End::Banned).await?;
        tx.commit().await?;
        tracing::info!(target: "caudal_api::audit", %stream, user = %owner.user, "a ban ends a broadcast");
    }
    Ok(())
}
