//! Why a publisher is not taken, in words that OBS understands.

/// A refusal, sent as `onStatus` of level `error`. OBS shows its "check your stream key" dialog for each of
/// these and does not retry a first start; it ignores `_error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `NetStream.Publish.Denied`: the key is not good.
    Denied,
    /// `NetStream.Publish.BadName`: somebody else publishes under it.
    BadName,
    /// `NetStream.Publish.Rejected`: anything else: no capacity, ended by us, not supported.
    Rejected,
}

impl Refusal {
    /// The code in `onStatus`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Denied => "NetStream.Publish.Denied",
            Self::BadName => "NetStream.Publish.BadName",
            Self::Rejected => "NetStream.Publish.Rejected",
        }
    }

    /// The refusal with this code, if it is one of ours.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Denied, Self::BadName, Self::Rejected].into_iter().find(|refusal| refusal.code() == code)
    }
}
