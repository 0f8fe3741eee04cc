//! What a socket wants to hear.

use serde::Deserialize;
use uuid::Uuid;

/// As clients say it. Without anything, it is those whom they follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wanted {
    scope: Option<Scope>,
    /// These too, followed or not.
    #[serde(default)]
    streamer_ids: Vec<Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scope {
    Followed,
    All,
}

impl Wanted {
    /// Whoever is live.
    pub(super) fn is_everybody(&self) -> bool {
        self.scope == Some(Scope::All)
    }

    /// Those whom the person follows.
    pub(super) fn is_followed(&self) -> bool {
        match self.scope {
            Some(scope) => scope == Scope::Followed,
            None => self.streamer_ids.is_empty(),
        }
    }

    pub(super) fn streamers(&self) -> &[Uuid] {
        &self.streamer_ids
    }
}

/// That one socket names.
pub(super) const MOST_STREAMERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_it_is_those_whom_one_follows() {
        for (text, everybody, followed) in [
            ("{}", false, true),
            (r#"{"scope":"followed"}"#, false, true),
            (r#"{"scope":"all"}"#, true, false),
            (r#"{"streamerIds":["00000000-0000-0000-0000-000000000001"]}"#, false, false),
            (r#"{"scope":"followed","streamerIds":["00000000-0000-0000-0000-000000000001"]}"#, false, true),
        ] {
            let wanted: Wanted = serde_json::from_str(text).unwrap();
            assert_eq!((wanted.is_everybody(), wanted.is_followed()), (everybody, followed), "{text}");
        }
        assert!(serde_json::from_str::<Wanted>(r#"{"scope":"some"}"#).is_err());
    }
}
