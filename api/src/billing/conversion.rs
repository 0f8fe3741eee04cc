//! Of those who could have subscribed, how many did.

use sqlx::PgPool;
use uuid::Uuid;

use crate::error::Error;

/// Notes that somebody who is logged in was shown what a channel sells, once a day. Nobody else can subscribe.
pub(crate) async fn note_offer(database: &PgPool, user: Uuid) {
    let noted = sqlx::query!(
        "insert into subscription_offers (day, user_id) values ((now() at time zone 'utc')::date, $1) on conflict do nothing",
        user
    );
    // A figure must not keep anybody from seeing prices.
    if let Err(error) = noted.execute(database).await {
        tracing::debug!(%error, "an offer could not be noted");
    }
}

/// The share of those who were offered a subscription in the last 30 days that began one, of 1. None while nobody was.
pub(crate) async fn conversion(database: &PgPool) -> Result<Option<f64>, Error> {
    let share = sqlx::query_scalar!(
        r#"select count(distinct s.user_id)::float8 / nullif(count(distinct o.user_id), 0) as share
           from subscription_offers o
           left join subscriptions s on s.user_id = o.user_id and s.accepted_through is not null and s.started_at > now() - interval '30 days'
           where o.day > (now() at time zone 'utc')::date - 30"#
    );
    Ok(share.fetch_one(database).await?)
}

/// Forgets what is in no figure any more.
pub(crate) async fn forget_old_offers(database: &PgPool) -> Result<(), Error> {
    sqlx::query!("delete from subscription_offers where day < (now() at time zone 'utc')::date - 40")
        .execute(database)
        .await?;
    Ok(())
}
