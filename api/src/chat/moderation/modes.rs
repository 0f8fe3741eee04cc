//! Changing a channel's settings.

use caudal_livestream::StreamId;
use garde::Validate;
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::changes::{Change, open_rooms, tell};
use super::modlog::Act;
use super::settings::{Links, Settings};
use crate::app::Chat;
use crate::chat::draft::{Kind, fields_of_settings};
use crate::error::Error;
use crate::json::Patch;

/// What is absent stays as it is.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SettingsChange {
    #[garde(range(min = 0, max = 120))]
    slow_seconds: Option<i32>,
    #[serde(default)]
    #[garde(dive)]
    followers_only_minutes: Patch<Minutes>,
    #[garde(skip)]
    subs_only: Option<bool>,
    #[garde(skip)]
    emote_only: Option<bool>,
    #[garde(skip)]
    unique_only: Option<bool>,
    #[garde(skip)]
    links: Option<Links>,
}

/// Three months at most.
#[derive(Clone, Copy, Deserialize, Validate)]
#[serde(transparent)]
#[garde(transparent)]
struct Minutes(#[garde(range(min = 0, max = 129_600))] i32);

impl SettingsChange {
    fn apply_to(&self, before: Settings) -> Settings {
        Settings {
            slow_seconds: self.slow_seconds.unwrap_or(before.slow_seconds),
            followers_only_minutes: match self.followers_only_minutes {
                Patch::Keep => before.followers_only_minutes,
                Patch::Clear => None,
                Patch::Set(Minutes(minutes)) => Some(minutes),
            },
            subs_only: self.subs_only.unwrap_or(before.subs_only),
            emote_only: self.emote_only.unwrap_or(before.emote_only),
            unique_only: self.unique_only.unwrap_or(before.unique_only),
            links: self.links.unwrap_or(before.links),
        }
    }
}

/// Changes them, and tells the channel's rooms.
pub(crate) async fn change(
    chat: &Chat,
    stream: StreamId,
    actor: Uuid,
    wanted: &SettingsChange,
) -> Result<Settings, Error> {
    let mut change = Change::begin(&chat.database, stream, actor).await?;
    let channel = change.channel;
    let before = settings_of(change.db(), channel).await?;
    let settings = wanted.apply_to(before);
    let rooms = open_rooms(change.db(), channel).await?;
    if settings == before {
        drop(change);
    } else {
        write(change.db(), channel, settings).await?;
        change.log(Act::ChangeSettings, None, &difference(before, settings)).await?;
        change.commit(chat).await?;
    }
    // Also where nothing has changed: the rooms may not have been told when it did.
    tell(chat, &rooms, Kind::ChatSettings, |room| fields_of_settings(room, settings)).await?;
    Ok(settings)
}

async fn write(db: &mut PgConnection, channel: Uuid, settings: Settings) -> Result<(), Error> {
    sqlx::query!(
        r#"update chat_settings
           set slow_seconds = $2, followers_only_minutes = $3, subs_only = $4, emote_only = $5, unique_only = $6, links = $7
           where channel_id = $1"#,
        channel,
        settings.slow_seconds,
        settings.followers_only_minutes,
        settings.subs_only,
        settings.emote_only,
        settings.unique_only,
        settings.links.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// As they are now.
pub(crate) async fn settings_of(db: impl PgExecutor<'_>, channel: Uuid) -> Result<Settings, Error> {
    let found = sqlx::query_as!(
        Settings,
        r#"select slow_seconds, followers_only_minutes, subs_only, emote_only, unique_only, links
           from chat_settings where channel_id = $1"#,
        channel
    );
    Ok(found.fetch_optional(db).await?.unwrap_or(Settings::DEFAULT))
}

/// What is not as it was, by name.
fn difference(before: Settings, after: Settings) -> Value {
    let fields = |settings: &Settings| match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let before = fields(&before);
    fields(&after).into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<SettingsChange, crate::input::InputError> {
        crate::json::parse(body.to_string().as_bytes())
    }

    #[test]
    fn what_is_absent_stays_as_it_is_and_the_log_has_what_changed() {
        let before = Settings { slow_seconds: 5, followers_only_minutes: Some(10), ..Settings::DEFAULT };
        for (body, changed) in [
            (json!({}), json!({})),
            (json!({ "slowSeconds": 5 }), json!({})),
            (json!({ "slowSeconds": 0 }), json!({ "slowSeconds": 0 })),
            (json!({ "followersOnlyMinutes": null }), json!({ "followersOnlyMinutes": null })),
            (
                json!({ "followersOnlyMinutes": 0, "links": "block", "uniqueOnly": true }),
                json!({ "followersOnlyMinutes": 0, "links": "block", "uniqueOnly": true }),
            ),
            (json!({ "subsOnly": true, "emoteOnly": true }), json!({ "subsOnly": true, "emoteOnly": true })),
        ] {
            let after = read(&body).unwrap().apply_to(before);
            assert_eq!(difference(before, after), changed, "{body}");
        }
    }

    #[test]
    fn settings_have_bounds() {
        for wrong in [
            json!({ "slowSeconds": 121 }),
            json!({ "slowSeconds": -1 }),
            json!({ "followersOnlyMinutes": 129_601 }),
            json!({ "followersOnlyMinutes": -1 }),
            json!({ "links": "hold" }),
            json!({ "slow": 1 }),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
