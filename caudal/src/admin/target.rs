//! Which stream somebody means: its id, an address that holds that, or its channel. What people paste by mistake may be a
//! stream key: nothing is shown that begins like one, or that is longer than a channel's name.

use std::ffi::OsStr;

use caudal_livestream::StreamId;
use caudal_livestream::admission::StreamKey;

/// A stream, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its id.
    Stream(StreamId),
    /// By its streamer's username: the broadcast that is on the air there.
    Channel(String),
}

impl Target {
    /// What was typed or pasted.
    ///
    /// # Errors
    /// When it names no stream: what it is instead.
    pub fn read(typed: &OsStr) -> Result<Self, String> {
        let Some(text) = typed.to_str().map(str::trim) else { return Err(EXPECTED.to_owned()) };
        let no_stream = || {
            shown(text).map_or_else(|| EXPECTED.to_owned(), |it| format!("{it} names no stream: {EXPECTED}"))
        };
        let words = || text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let to_publish = ["rtmp://", "rtmps://"].iter().any(|scheme| text.starts_with(scheme));
        if to_publish || words().any(|word| StreamKey::new(word).is_well_formed()) {
            return Err(format!(
                "that is for an encoder, and holds its stream key or has room for one. It is not shown here, but your shell may \
                 keep it in its history; {EXPECTED}"
            ));
        }
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let mut ids = path.split('/').filter_map(|segment| segment.parse().ok());
        match (ids.next(), ids.next()) {
            (Some(stream), None) => Ok(Self::Stream(stream)),
            (None, _) if is_username(text) => Ok(Self::Channel(text.to_owned())),
            _ => Err(no_stream()),
        }
    }
}

/// What was typed, in quotes; none of what begins like a stream key or is too long for a channel's name.
pub fn shown(text: &str) -> Option<String> {
    let harmless = !text.is_empty() && text.len() <= LONGEST_USERNAME && !text.contains(StreamKey::PREFIX);
    harmless.then(|| format!("{text:?}"))
}

/// As the api has it.
pub fn is_username(text: &str) -> bool {
    (3..=LONGEST_USERNAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// In bytes.
const LONGEST_USERNAME: usize = 25;
const EXPECTED: &str = "expected the stream's id, the address of its watch page, or its channel's name";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_found_in_what_people_paste() {
        let id = StreamId::generate();
        for typed in [
            format!("{id}"),
            format!(" {id}\n"),
            format!("http://localhost:3000/watch/{id}"),
            format!("https://live.example.org/watch/{id}?t=3#chat"),
            format!("localhost:3000/watch/{id}/"),
            format!("http://localhost:8000/live/{id}/master.m3u8"),
        ] {
            assert_eq!(Target::read(OsStr::new(&typed)), Ok(Target::Stream(id)), "{typed}");
        }
        assert_eq!(Target::read(OsStr::new("ana_92")), Ok(Target::Channel("ana_92".to_owned())));
    }

    #[test]
    fn what_names_no_stream_is_repeated() {
        for typed in ["bo", "bob smith", "ana!"] {
            let said = Target::read(OsStr::new(typed)).unwrap_err();
            assert_eq!(said, format!("{typed:?} names no stream: {EXPECTED}"));
        }
    }

    #[test]
    fn a_stream_key_is_known_as_one_and_nothing_that_may_be_one_is_shown() {
        let key = format!("{}{}", StreamKey::PREFIX, "x".repeat(StreamKey::RANDOM_CHARACTERS));
        let of_encoder = "for an encoder";
        for (typed, expected) in [
            (key.clone(), of_encoder),
            (format!("rtmp://localhost/live/{key}"), of_encoder),
            (format!("  {key}?x=1"), of_encoder),
            ("rtmp://localhost:1935/live".to_owned(), of_encoder),
            // Cut off in the middle.
            (key.chars().take(30).collect(), EXPECTED),
            ("http://localhost:3000/studio".to_owned(), EXPECTED),
            (String::new(), EXPECTED),
        ] {
            let said = Target::read(OsStr::new(&typed)).unwrap_err();
            assert!(
                said.contains(expected) && !said.contains("xxx") && !said.contains("localhost"),
                "{said}"
            );
        }
    }
}
