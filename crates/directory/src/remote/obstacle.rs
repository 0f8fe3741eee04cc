//! What is in the way of following a controller, said once in the log and at any time to whoever asks.

/// Its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The controller cannot be heard.
    Away,
    /// It does not accept the signature.
    Refuses,
}

impl Obstacle {
    /// Says it, unless it is what was `said` last: a controller that refuses is another matter than one that is away. Returns
    /// the words for it.
    pub(super) fn say(self, controller: &str, reason: &str, said: &mut Option<Self>) -> String {
        let is_news = said.replace(self) != Some(self);
        match self {
            _ if !is_news => tracing::debug!(controller, reason, "the controller is not followed"),
            Self::Away => tracing::warn!(controller, reason, "the controller is away; trying again"),
            Self::Refuses => {
                tracing::warn!(
                    controller,
                    reason,
                    "the controller refuses this role's signature; trying again"
                );
            }
        }
        let words = match self {
            Self::Away => "is away",
            Self::Refuses => "refuses this role's signature",
        };
        format!("the controller at {controller} {words}: {reason}")
    }
}
