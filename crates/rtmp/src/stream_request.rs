//! What a publisher asks for: app, stream, key, and what its encoder can do.

use std::fmt;

use rml_amf0::Amf0Value;

use crate::amf;
use crate::codec::FourCc;
use crate::limits::{MAX_NAME, MAX_QUERY_PARAMETERS};

/// A request to publish, waiting for an answer.
///
/// Any text in it may be a stream key that somebody pasted into the wrong field: `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishRequested {
    /// The application of `connect`: the first segment of its path.
    pub app: String,
    /// The stream's name without its query, as the encoder sent it. For most encoders it is the stream key.
    pub name: StreamKey,
    /// The name's parameters, then the app's, then `tcUrl`'s.
    pub query: Query,
    /// The last argument of `publish`.
    pub mode: PublishMode,
    /// What `connect` said about Enhanced RTMP.
    pub enhanced: EnhancedCapabilities,
    /// See [`candidates`](Self::candidates); never empty.
    candidates: Vec<StreamKey>,
}

impl PublishRequested {
    /// The stream key: `?key=` where there is one, else the last part of the name, else what stands behind the app.
    pub fn key(&self) -> StreamKey {
        self.candidates.first().unwrap_or(&self.name).clone()
    }

    /// Everything that may be the key, the usual place first: people paste keys into the server's address and whole
    /// addresses into the field for the key, with spaces and slashes around them. Whoever knows what keys look like
    /// can find it here.
    pub fn candidates(&self) -> &[StreamKey] {
        &self.candidates
    }
}

impl fmt::Debug for PublishRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app: _, name, query, mode, enhanced: _, candidates: _ } = self;
        f.debug_struct("PublishRequested")
            .field("name", name)
            .field("query", query)
            .field("mode", mode)
            .finish_non_exhaustive()
    }
}

/// A stream key, or a name that may be one. It has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

impl StreamKey {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(***)")
    }
}

/// Parameters behind a `?`, percent-decoded. Names and values may be secrets: `Debug` shows neither.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The first parameter of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn extend(&mut self, query: &str) {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if self.0.len() == MAX_QUERY_PARAMETERS {
                return;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.0.push((percent_decode(name), percent_decode(value)));
        }
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({} parameters)", self.0.len())
    }
}

/// How the publisher wants its stream kept. It decides nothing here; hardware encoders send any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishMode {
    /// `live`, or nothing.
    Live,
    /// `record`.
    Record,
    /// `append`.
    Append,
}

/// What the encoder said in `connect` about Enhanced RTMP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnhancedCapabilities {
    /// `fourCcList`, and the names in the two `FourCcInfoMap`s. `*` is there as it came.
    pub fourcc: Vec<String>,
    /// `capsEx`, a bit mask (1: reconnect, 2: multitrack).
    pub caps_ex: u32,
}

impl EnhancedCapabilities {
    /// Whether the encoder speaks Enhanced RTMP at all.
    pub fn is_offered(&self) -> bool {
        !self.fourcc.is_empty() || self.caps_ex != 0
    }

    /// Whether it understands a server that asks it to reconnect.
    pub fn can_reconnect(&self) -> bool {
        self.caps_ex & 1 != 0
    }

    /// Whether it could send that codec.
    pub fn includes(&self, fourcc: FourCc) -> bool {
        self.fourcc.iter().any(|name| name == "*" || name.as_bytes() == fourcc.0)
    }
}

/// What `connect` said; of its texts, those in which a key may stand.
#[derive(Clone, Default)]
pub(crate) struct ConnectRequest {
    app: String,
    tc_url: String,
    pub(crate) enhanced: EnhancedCapabilities,
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectRequest(***)")
    }
}

impl ConnectRequest {
    pub(crate) fn read(object: &Amf0Value) -> Self {
        let string = |name| {
            let text = amf::property(object, name).and_then(amf::text).unwrap_or_default();
            text.chars().take(MAX_NAME).collect::<String>()
        };
        let mut fourcc = Vec::new();
        if let Some(Amf0Value::StrictArray(list)) = amf::property(object, "fourCcList") {
            fourcc.extend(list.iter().filter_map(amf::text));
        }
        for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
            if let Some(Amf0Value::Object(map)) = amf::property(object, map) {
                fourcc.extend(map.keys().map(String::as_str));
            }
        }
        fourcc.sort_unstable();
        fourcc.dedup();
        Self {
            app: string("app"),
            tc_url: string("tcUrl"),
            enhanced: EnhancedCapabilities {
                fourcc: fourcc
                    .into_iter()
                    .filter(|name| name.len() <= 4)
                    .take(MAX_FOURCC)
                    .map(str::to_owned)
                    .collect(),
                caps_ex: amf::property(object, "capsEx").and_then(amf::number).map_or(0, low_bits),
            },
        }
    }

    /// The request that `publish` makes of it; `None` when nothing in it can be a key.
    pub(crate) fn publish(&self, name: &str, mode: &str) -> Option<PublishRequested> {
        if name.len() > MAX_NAME {
            return None;
        }
        let (name, name_query) = split_query(name);
        let (app_path, app_query) = split_query(&self.app);
        let (_, url_query) = split_query(&self.tc_url);
        let mut query = Query::default();
        for part in [name_query, app_query, url_query] {
            query.extend(part);
        }
        let mut app_segments = segments(app_path);
        let app = app_segments.next().unwrap_or_default();
        let named = query.get("key").map(tidy);
        let usual = named.into_iter().chain(segments(name).rev()).chain(app_segments.rev());
        // `rtmp://host/live?KEY`, `?streamkey=KEY`, and `rtmp://host/KEY`: only for whoever knows a key by its looks.
        let odd = query.0.iter().flat_map(|(name, value)| [tidy(name), tidy(value)]).chain([app]);
        let mut candidates: Vec<StreamKey> = Vec::new();
        for candidate in usual.chain(odd) {
            if candidates.len() == MAX_CANDIDATES {
                break;
            }
            if !candidate.is_empty() && !candidates.iter().any(|known| known.0 == candidate) {
                candidates.push(StreamKey(candidate.to_owned()));
            }
        }
        // An app alone, such as `live`, is no key but the lack of one.
        if segments(name).next().is_none() && candidates.iter().all(|candidate| candidate.0 == app) {
            return None;
        }
        Some(PublishRequested {
            app: app.to_owned(),
            name: StreamKey(tidy(name).to_owned()),
            candidates,
            mode: match mode.to_ascii_lowercase().as_str() {
                "record" => PublishMode::Record,
                "append" => PublishMode::Append,
                _ => PublishMode::Live,
            },
            enhanced: self.enhanced.clone(),
            query,
        })
    }
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// The parts of a path or a URL that hold something.
fn segments(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').map(tidy).filter(|segment| !segment.is_empty())
}

/// Without what copying and pasting leaves around a text.
fn tidy(text: &str) -> &str {
    text.trim_matches(|character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(
                character,
                '/' | '"' | '\'' | '<' | '>' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}'
            )
    })
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let escaped = (*first == b'%')
            .then(|| behind.split_at_checked(2))
            .flatten()
            .and_then(|(digits, behind)| Some((std::str::from_utf8(digits).ok()?, behind)))
            .and_then(|(digits, behind)| Some((u8::from_str_radix(digits, 16).ok()?, behind)));
        if let Some((byte, behind)) = escaped {
            bytes.push(byte);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A bit mask that came as a floating-point number.
fn low_bits(number: f64) -> u32 {
    format!("{number:.0}").parse::<u32>().unwrap_or(0)
}

/// What stands in the names and addresses that people mix up.
const MAX_CANDIDATES: usize = 16;

/// There are about a dozen codecs.
const MAX_FOURCC: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn request(app: &str, tc_url: &str, name: &str) -> Option<PublishRequested> {
        let text = |text: &str| Amf0Value::Utf8String(text.to_owned());
        let object = HashMap::from([
            ("app".to_owned(), text(app)),
            ("tcUrl".to_owned(), text(tc_url)),
            ("flashVer".to_owned(), text(app)),
        ]);
        let connect = ConnectRequest::read(&Amf0Value::Object(object));
        assert!(!format!("{connect:?}").contains("secret"));
        connect.publish(name, "LIVE")
    }

    #[test]
    fn the_key_is_found_wherever_encoders_put_it() {
        for (app, tc_url, name, expected) in [
            ("live", "rtmp://h/live", "secret", "secret"),
            ("live/", "rtmp://h/live", "/secret", "secret"),
            ("live", "rtmp://h/live", "name?key=secret", "secret"),
            ("live", "rtmp://h/live", "name?a=b&key=se%63ret&c", "secret"),
            ("live?key=secret", "rtmp://h/live?key=other", "name", "secret"),
            ("live", "rtmp://h/live?key=secret", "name", "secret"),
            ("live", "rtmp://h/live?key=secret", "", "secret"),
            ("live/secret", "rtmp://h/live/secret", "", "secret"),
        ] {
            let request = request(app, tc_url, name).unwrap();
            assert_eq!(request.key().expose(), expected, "{app} {tc_url} {name}");
            assert_eq!(request.app, "live");
            assert_eq!(request.mode, PublishMode::Live);
        }
        assert_eq!(request("live", "rtmp://h/live", ""), None);
        assert_eq!(request(" live/ ", "rtmp://h/live", " "), None);
    }

    #[test]
    fn a_misplaced_key_is_among_the_candidates() {
        for (app, tc_url, name) in [
            ("live/secret", "rtmp://h/live/secret", "any"),
            ("live/secret/", "rtmp://h/live/secret/", "secret"),
            ("live", "rtmp://h/live", " secret\r\n"),
            ("live", "rtmp://h/live", "secret/"),
            ("live", "rtmp://h/live", "\"secret\""),
            ("live", "rtmp://h/live", "\u{FEFF}secret\u{200B}"),
            ("live", "rtmp://h/live", "live/secret"),
            ("live", "rtmp://h/live", "rtmp://h/live/secret"),
            ("live", "rtmp://h/live", "rtmp://h:1935/live/secret/ "),
            ("live?secret", "rtmp://h/live?secret", "any"),
            ("live", "rtmp://h/live?streamkey=secret", "any"),
            ("live", "rtmp://h/live", "?secret"),
            ("live", "rtmp://h/live", "any?key=wrong&k=secret"),
            ("secret", "rtmp://h/secret", "any"),
            ("live/ secret ", "rtmp://h/live/ secret ", ""),
        ] {
            let request = request(app, tc_url, name).unwrap();
            let found = request.candidates().iter().any(|candidate| candidate.expose() == "secret");
            assert!(found, "{app} {tc_url} {name}");
        }
    }

    #[test]
    fn no_debug_output_holds_the_key() {
        for (app, name) in [
            ("live", "secret"),
            ("live?key=secret", "x"),
            ("live", "x?key=secret"),
            ("live", "x?secret"),
            ("live/secret", ""),
            ("live/secret", "x"),
            ("secret", "x"),
        ] {
            let request = request(app, &format!("rtmp://h/{app}"), name).unwrap();
            let printed = format!("{request:?}");
            assert!(!printed.contains("secret"), "{printed}");
            assert!(printed.contains("***"), "{printed}");
        }
    }

    #[test]
    fn percent_signs_that_escape_nothing_stay() {
        assert_eq!(percent_decode("a%2Fb%zz%4"), "a/b%zz%4");
        assert_eq!(percent_decode("%"), "%");
    }
}
