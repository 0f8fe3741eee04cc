//! Changing what a channel's chat allows: one at a time, by whoever may, with a line in the log.

use caudal_livestream::StreamId;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::modlog::{Act, log};
use super::place::Place;
use crate::app::Chat;
use crate::auth::AuthError;
use crate::chat::ChatError;
use crate::chat::draft::Kind;
use crate::error::Error;
use crate::people::PeopleError;

/// A transaction in which a moderator, or somebody above, changes a channel's rules. It holds the row of `chat_settings`, so that all
/// changes to a channel come one after the other, whichever replica makes them; dropped, it has changed nothing.
pub(crate) struct Change {
    tx: Transaction<'static, Postgres>,
    pub(super) channel: Uuid,
    pub(super) actor: Uuid,
    pub(super) place: Place,
}

impl Change {
    /// Begins one in the channel of a stream; only who keeps order there gets it.
    pub(crate) async fn begin(database: &PgPool, stream: StreamId, actor: Uuid) -> Result<Self, Error> {
        let mut tx = database.begin().await?;
        let channel = sqlx::query_scalar!("select user_id from streams where id = $1", stream.0);
        let channel = channel.fetch_optional(&mut *tx).await?.ok_or(ChatError::UnknownStream)?;
        // Before the row is held, so that nobody else keeps moderators waiting.
        may_change(&mut tx, channel, actor).await?;
        sqlx::query!(
            r#"insert into chat_settings (channel_id) values ($1)
               on conflict (channel_id) do update set version = chat_settings.version + 1"#,
            channel
        )
        .execute(&mut *tx)
        .await?;
        // Once more: nobody's place changes from here on.
        let place = may_change(&mut tx, channel, actor).await?;
        Ok(Self { tx, channel, actor, place })
    }

    /// The username of somebody whom the actor may act on.
    pub(super) async fn target(&mut self, person: Uuid) -> Result<String, Error> {
        if person == self.actor {
            return Err(PeopleError::Oneself.into());
        }
        let found = Place::find(&mut *self.tx, self.channel, person).await?;
        let (place, username) = found.ok_or(PeopleError::Unknown)?;
        if self.place.may_act_on(place) { Ok(username) } else { Err(ChatError::Protected.into()) }
    }

    /// The same of somebody who may have deleted their account, and is nobody in particular then.
    pub(super) async fn former_target(&mut self, person: Uuid) -> Result<String, Error> {
        match self.target(person).await {
            Err(Error::People(PeopleError::Unknown)) => {
                let former = sqlx::query_scalar!("select username from users where id = $1", person);
                Ok(former.fetch_optional(&mut *self.tx).await?.ok_or(PeopleError::Unknown)?)
            }
            found => found,
        }
    }

    pub(super) fn db(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    pub(super) async fn log(&mut self, act: Act, target: Option<Uuid>, detail: &Value) -> Result<(), Error> {
        let (channel, actor) = (self.channel, self.actor);
        Ok(log(&mut *self.tx, channel, actor, act, target, detail).await?)
    }

    /// From now on it holds, on all replicas within a second.
    pub(super) async fn commit(self, chat: &Chat) -> Result<(), Error> {
        self.tx.commit().await?;
        chat.hub.rules().changed(self.channel).await;
        Ok(())
    }
}

async fn may_change(tx: &mut PgConnection, channel: Uuid, actor: Uuid) -> Result<Place, Error> {
    let (place, _) = Place::find(tx, channel, actor).await?.ok_or(AuthError::SessionRevoked)?;
    if place.moderates() { Ok(place) } else { Err(ChatError::NotModerator.into()) }
}

/// The rooms of a channel that somebody can be in: of its broadcast, of a prepared one, and of one that has just ended.
pub(super) async fn open_rooms(db: &mut PgConnection, channel: Uuid) -> Result<Vec<Uuid>, Error> {
    let rooms = sqlx::query_scalar!(
        r#"select id from streams
           where user_id = $1 and (ended_at is null or ended_at > now() - interval '10 minutes')
           order by id desc limit 10"#,
        channel
    );
    Ok(rooms.fetch_all(db).await?)
}

/// Tells rooms of a change, in their order of events.
pub(super) async fn tell(
    chat: &Chat,
    rooms: &[Uuid],
    kind: Kind,
    fields: impl Fn(StreamId) -> String,
) -> Result<(), ChatError> {
    for room in rooms.iter().copied().map(StreamId) {
        chat.hub.log().tell(room, kind, fields(room)).await?;
    }
    Ok(())
}
