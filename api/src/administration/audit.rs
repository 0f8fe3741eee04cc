//! Who did what to whom: a row in `audit_log`, in the transaction of the act, so that neither is without the other.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

use super::Role;
use crate::auth::Caller;
use crate::client::Client;
use crate::error::Error;
use crate::registration::RegistrationMode;

/// Who acts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    Admin { user: Uuid, address: IpAddr },
    CommandLine,
}

impl Actor {
    pub(crate) fn admin(caller: Caller, client: &Client) -> Self {
        Self::Admin { user: caller.user, address: client.address }
    }

    /// None at the command line.
    pub(crate) fn user(self) -> Option<Uuid> {
        if let Self::Admin { user, .. } = self { Some(user) } else { None }
    }

    fn address(self) -> Option<IpAddr> {
        if let Self::Admin { address, .. } = self { Some(address) } else { None }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act<'a> {
    Banned { user: Uuid, reason: Option<&'a str> },
    Unbanned { user: Uuid },
    RoleChanged { user: Uuid, from: Role, to: Role },
    RegistrationChanged { from: RegistrationMode, to: RegistrationMode, by_setting: bool },
    InvitationMade { invitation: Uuid, uses: i32, note: Option<&'a str>, expires_at: DateTime<Utc> },
    InvitationRemoved { invitation: Uuid, used: i32 },
    CategoryAdded { category: Uuid, name: &'a str, slug: &'a str },
    CategoryChanged { category: Uuid, former_slug: &'a str, name: Option<&'a str>, slug: Option<&'a str> },
    CategoryRemoved { category: Uuid, slug: &'a str },
    CategoryIconChanged { category: Uuid, slug: &'a str, removed: bool },
    AvatarRemoved { user: Uuid },
    StreamEnded { stream: Uuid, owner: Uuid },
}

/// What an act is about: a kind, and which one of that.
type Subject = (&'static str, Option<Uuid>);

impl Act<'_> {
    fn action(&self) -> &'static str {
        match self {
            Self::Banned { .. } => "user.ban",
            Self::Unbanned { .. } => "user.unban",
            Self::RoleChanged { .. } => "user.role",
            Self::RegistrationChanged { .. } => "registration.change",
            Self::InvitationMade { .. } => "invitation.create",
            Self::InvitationRemoved { .. } => "invitation.remove",
            Self::CategoryAdded { .. } => "category.create",
            Self::CategoryChanged { .. } => "category.edit",
            Self::CategoryRemoved { .. } => "category.remove",
            Self::CategoryIconChanged { .. } => "category.icon",
            Self::AvatarRemoved { .. } => "user.avatar",
            Self::StreamEnded { .. } => "stream.end",
        }
    }

    fn subject(&self) -> Subject {
        match *self {
            Self::Banned { user, .. }
            | Self::Unbanned { user }
            | Self::RoleChanged { user, .. }
            | Self::AvatarRemoved { user } => ("user", Some(user)),
            Self::RegistrationChanged { .. } => ("registration", None),
            Self::InvitationMade { invitation, .. } | Self::InvitationRemoved { invitation, .. } => {
                ("invitation", Some(invitation))
            }
            Self::CategoryAdded { category, .. }
            | Self::CategoryChanged { category, .. }
            | Self::CategoryIconChanged { category, .. }
            | Self::CategoryRemoved { category, .. } => ("category", Some(category)),
            Self::StreamEnded { stream, .. } => ("stream", Some(stream)),
        }
    }

    fn details(&self) -> Value {
        match *self {
            Self::Banned { reason, .. } => json!({ "reason": reason }),
            Self::Unbanned { .. } | Self::AvatarRemoved { .. } => json!({}),
            Self::RoleChanged { from, to, .. } => json!({ "from": from, "to": to }),
            Self::RegistrationChanged { from, to, by_setting } => {
                json!({ "from": from, "to": to, "bySetting": by_setting })
            }
            Self::InvitationMade { uses, note, expires_at, .. } => {
                json!({ "uses": uses, "note": note, "expiresAt": expires_at })
            }
            Self::InvitationRemoved { used, .. } => json!({ "used": used }),
            Self::CategoryAdded { name, slug, .. } => json!({ "name": name, "slug": slug }),
            Self::CategoryChanged { former_slug, name, slug, .. } => {
                json!({ "formerSlug": former_slug, "name": name, "slug": slug })
            }
            Self::CategoryRemoved { slug, .. } => json!({ "slug": slug }),
            Self::CategoryIconChanged { slug, removed, .. } => json!({ "slug": slug, "removed": removed }),
            Self::StreamEnded { owner, .. } => json!({ "owner": owner }),
        }
    }
}

/// Remembers it, in the transaction that does it.
pub(crate) async fn record(tx: &mut PgConnection, actor: Actor, act: Act<'_>) -> Result<(), Error> {
    let (action, (kind, subject)) = (act.action(), act.subject());
    let mut details = act.details();
    if let (Actor::CommandLine, Value::Object(details)) = (actor, &mut details) {
        details.insert("by".into(), "command line".into());
    }
    sqlx::query!(
        r#"insert into audit_log (id, actor_id, action, subject_kind, subject_id, details, ip)
           values ($1, $2, $3, $4, $5, $6, $7)"#,
        Uuid::now_v7(),
        actor.user(),
        action,
        kind,
        subject,
        details,
        actor.address().map(|address| address.to_string())
    )
    .execute(tx)
    .await?;
    tracing::info!(target: "caudal_api::audit", actor = ?actor.user(), action, ?subject, "an admin's act");
    Ok(())
}

/// Which records somebody wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AuditFilter<'a> {
    pub(crate) actor: Option<Uuid>,
    pub(crate) subject: Option<Uuid>,
    pub(crate) action: Option<&'a str>,
    /// From this millisecond on.
    pub(crate) since: Option<DateTime<Utc>>,
    /// Before this millisecond.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// What an admin did.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditRecord {
    pub(crate) id: Uuid,
    created_at: DateTime<Utc>,
    #[schema(example = "user.ban")]
    action: String,
    /// Null for the command line.
    actor: Option<Named>,
    subject: Named,
    /// What there is to know besides, by `action`.
    #[schema(value_type = Object)]
    details: Json<Value>,
    /// Whence it was done.
    address: Option<String>,
}

/// Somebody or something, by its id and, of people, by the name that they have now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditParty)]
struct Named {
    #[schema(example = "user")]
    kind: String,
    id: Option<Uuid>,
    username: Option<String>,
}

impl AuditRecord {
    /// The latest first.
    pub(crate) async fn list(
        db: impl PgExecutor<'_>,
        filter: AuditFilter<'_>,
        before: Option<Uuid>,
        rows: i64,
    ) -> Result<Vec<Self>, Error> {
        // Ids are in the order of time, so every index ends with it.
        let from = filter.since.map(first_id_of);
        let before = before.into_iter().chain(filter.until.map(first_id_of)).min();
        // One branch is read: by actor, else by subject, else by action, each by its own index, else by the id.
        let found = sqlx::query!(
            r#"select l.id as "id!", l.created_at as "created_at!", l.action as "action!", l.actor_id, actor.username as "actor?", l.subject_kind as "subject_kind!",
                      l.subject_id, subject.username as "subject?", l.details as "details!: Json<Value>", l.ip
               from (
                   (select * from audit_log
                    where actor_id = $1 and ($2::uuid is null or subject_id = $2) and ($3::text is null or action = $3)
                      and id >= $4 and id < $5
                    order by id desc limit $6)
                   union all
                   (select * from audit_log
                    where $1::uuid is null and subject_id = $2 and ($3::text is null or action = $3)
                      and id >= $4 and id < $5
                    order by id desc limit $6)
                   union all
                   (select * from audit_log
                    where $1::uuid is null and $2::uuid is null and action = $3 and id >= $4 and id < $5
                    order by id desc limit $6)
                   union all
                   (select * from audit_log
                    where $1::uuid is null and $2::uuid is null and $3::text is null and id >= $4 and id < $5
                    order by id desc limit $6)
               ) l
               left join users actor on actor.id = l.actor_id
               left join users subject on subject.id = l.subject_id and l.subject_kind = 'user'
               order by l.id desc limit $6"#,
            filter.actor,
            filter.subject,
            filter.action,
            from.unwrap_or(Uuid::nil()),
            before.unwrap_or(Uuid::max()),
            rows
        )
        .fetch_all(db)
        .await?;
        let records = found.into_iter().map(|row| Self {
            id: row.id,
            created_at: row.created_at,
            action: row.action,
            actor: row.actor_id.map(|id| Named { kind: "user".into(), id: Some(id), username: row.actor }),
            subject: Named { kind: row.subject_kind, id: row.subject_id, username: row.subject },
            details: row.details,
            address: row.ip,
        });
        Ok(records.collect())
    }
}

/// No UUIDv7 of that millisecond, or of a later one, is less.
fn first_id_of(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis.min(LAST_MILLIS), &[0; 10]).into_uuid()
}

/// A year is over.
pub(crate) async fn forget_old_records(db: impl PgExecutor<'_>) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from audit_log where id in (
               select id from audit_log where created_at < now() - make_interval(days => $1) limit 10000
           )"#,
        KEPT_DAYS
    )
    .execute(db)
    .await?;
    Ok(())
}

/// In docs/operating.md, too.
const KEPT_DAYS: i32 = 365;
/// What a UUIDv7 has room for: the year 10889.
const LAST_MILLIS: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_divides_the_ids_of_what_was_before_it_from_the_rest() {
        let id: Uuid = "01936f00-0000-7000-8000-000000000001".parse().unwrap();
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        let time = DateTime::from_timestamp(i64::try_from(seconds).unwrap(), nanos).unwrap();
        let millisecond = chrono::TimeDelta::milliseconds(1);
        assert!(first_id_of(time - millisecond) < first_id_of(time));
        assert!(first_id_of(time) <= id);
        assert!(id < first_id_of(time + millisecond));
        // Whatever somebody asks for.
        assert!(first_id_of(DateTime::<Utc>::MIN_UTC) < id);
        assert!(id < first_id_of(DateTime::<Utc>::MAX_UTC));
    }
}
