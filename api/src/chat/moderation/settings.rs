//! What a channel's chat allows.

use serde::{Deserialize, Serialize};

/// As readers get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    /// Between two messages of one person; 0 is off.
    pub(crate) slow_seconds: i32,
    /// How long somebody must have followed to talk; null is off, 0 lets all followers talk.
    pub(crate) followers_only_minutes: Option<i32>,
    pub(crate) subs_only: bool,
    pub(crate) emote_only: bool,
    /// Nobody repeats what anybody has said a while ago.
    pub(crate) unique_only: bool,
    pub(crate) links: Links,
}

/// What becomes of messages with links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Links {
    Allow,
    Block,
}

impl Settings {
    /// Of a channel that has changed nothing.
    pub(crate) const DEFAULT: Self = Self {
        slow_seconds: 0,
        followers_only_minutes: None,
        subs_only: false,
        emote_only: false,
        unique_only: false,
        links: Links::Allow,
    };
}

impl Links {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => ALLOW,
            Self::Block => "block",
        }
    }
}

impl From<String> for Links {
    /// The column holds no other word (`chat_settings_links_known`). Should a later version have one, this one is strict.
    fn from(word: String) -> Self {
        if word == ALLOW { Self::Allow } else { Self::Block }
    }
}

const ALLOW: &str = "allow";
