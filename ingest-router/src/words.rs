//! What publishers are told when they are refused or have to go. OBS shows these words in a dialog: each says what to do.

pub(crate) const GUESSING: &str = "Too many wrong stream keys came from your address. Wait a minute, then copy the key again from the page Go live.";
pub(crate) const MANY_GUESSES: &str = "Many wrong stream keys are being tried, so that yours could not be looked at in time. Try again in a few seconds.";
/// Behind the api's words on a key that nobody has, when something else stands around the key.
pub(crate) const MISPLACED: &str =
    "The server's address ends in /live; the key, and nothing else, belongs into the stream key field.";
pub(crate) const STILL_CLOSING: &str =
    "Your last broadcast is still being closed. Try again in a few seconds.";
pub(crate) const NO_CAPACITY: &str = "This server has as many broadcasts as it may have at once. Try again when another one \
     has ended, or ask whoever runs the server to allow more.";
pub(crate) const NO_POOL: &str = "This server has no workers for broadcasts like yours. Your stream key is fine: ask whoever \
     runs the server to look at its worker pools.";
pub(crate) const NO_SEAT: &str =
    "This server has as many publishers as it can take. Try again when another one has ended.";
pub(crate) const ALREADY_LIVE: &str =
    "This stream key is live from another encoder. Stop that one first, then try again.";
pub(crate) const RIVALS: &str =
    "Several encoders are trying to publish with this stream key. Stop all but one, then try again.";
/// While the api, or its database, is away.
pub(crate) const KEYS_UNCHECKED: &str = "The platform cannot check stream keys now. Try again in a moment.";
/// While the controller is away: of a broadcast that is not open yet.
pub(crate) const CANNOT_START: &str =
    "The platform cannot start broadcasts right now. Your stream key is fine. Try again in a moment.";
/// While the controller is away: of one that is open.
pub(crate) const CANNOT_CONNECT: &str = "The platform cannot connect an encoder to this broadcast right now. Your stream key is fine. Try again in a moment.";

pub(crate) const RESTARTING: &str = "The server is restarting. Start streaming again in a moment.";
/// To encoders that reconnect by themselves when they are asked to.
pub(crate) const RECONNECT: &str = "The server is restarting. Start streaming again on a new connection.";
pub(crate) const STOPPING: &str = "The platform is being stopped. Try again later.";
pub(crate) const TAKEN_OVER: &str =
    "Another encoder has taken over this stream. Stop that one before you start this one again.";
pub(crate) const KEY_CHANGED: &str = "The stream key was changed. Copy the new one from the page Go live.";
pub(crate) const ENDED_BY_OWNER: &str = "The broadcast was ended, on the page Go live or by whoever runs the server. Wait half a minute, then start streaming again to begin a new one.";
pub(crate) const ENDED: &str = "The broadcast has ended. Start streaming again to begin a new one.";

/// Of a broadcast that ended for a reason of the platform's.
pub(crate) fn ended_because(reason: &str) -> String {
    format!("The broadcast has ended: {reason}. Start streaming again to begin a new one.")
}

/// Of a broadcast that ended because of what its publisher sent.
pub(crate) fn unplayable(reason: &str) -> String {
    format!("The broadcast has ended: {reason}. Correct that in your encoder, then start streaming again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let because = ended_because("its workers kept failing");
        let unplayable =
            unplayable("what was sent cannot be played: video came, but no keyframe; no sound came");
        let all = [
            GUESSING,
            MANY_GUESSES,
            MISPLACED,
            STILL_CLOSING,
            NO_CAPACITY,
            NO_SEAT,
            ALREADY_LIVE,
            RIVALS,
            KEYS_UNCHECKED,
            CANNOT_START,
            CANNOT_CONNECT,
            RESTARTING,
            RECONNECT,
            STOPPING,
            TAKEN_OVER,
            KEY_CHANGED,
            ENDED_BY_OWNER,
            ENDED,
            &because,
            &unplayable,
        ];
        let to_do = ["Wait ", "Try again", "Stop ", "Start streaming", "Copy ", "belongs into", "Correct "];
        for words in all {
            assert!(to_do.iter().any(|words_to_do| words.contains(words_to_do)), "{words}");
            assert!(
                words.ends_with('.') && !words.contains("transcoder") && !words.contains("  "),
                "{words}"
            );
            assert!(words.chars().count() <= 200, "too long for a dialog: {words}");
        }
    }
}
