//! What a log line may hold: one line, short fields, no character that a terminal acts on, no stream key.
//!
//! Fields quote what strangers sent. Everything that tracing formats passes through [`bounded`], so that no call site has
//! to think of it.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// A value as it stands in a log line: at most [`LONGEST`] characters, control characters and those that change a line's
/// direction or length escaped, whatever looks like a stream key masked.
pub(crate) fn bounded(value: &dyn fmt::Display) -> String {
    bounded_to(LONGEST, value)
}

fn bounded_to(longest: usize, value: &dyn fmt::Display) -> String {
    let mut head = Head { text: String::new() };
    // An error means that the head is full.
    let cut_off = write!(head, "{value}").is_err();
    let masked = without_keys(&head.text);
    let mut shown = String::with_capacity(masked.len());
    let mut rest = masked.chars();
    for character in rest.by_ref().take(longest) {
        if acts_on_a_terminal(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if cut_off || rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Fields behind the message, as in `stream=… reason=…`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pieces = Pieces::default();
        fields.record(&mut pieces);
        for (index, (name, value)) in pieces.fields.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match *name {
                MESSAGE => write!(writer, "{space}{}", value.text())?,
                name => write!(writer, "{space}{name}={}", value.quoted())?,
            }
        }
        Ok(())
    }
}

/// An object a line: `timestamp`, `level`, the message and fields, `target`, and the spans it happened in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonLine {
    /// Stands in each of them.
    pub(crate) role: Option<&'static str>,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut now = String::new();
        SystemTime.format_time(&mut Writer::new(&mut now))?;
        write!(writer, r#"{{"timestamp":"{now}","level":"{}""#, metadata.level())?;
        if let Some(role) = self.role {
            write!(writer, r#","role":"{role}""#)?;
        }
        let mut pieces = Pieces::default();
        event.record(&mut pieces);
        for (name, value) in &pieces.fields {
            write!(writer, r#","{name}":{}"#, value.json())?;
        }
        let target = pieces.target.as_deref().unwrap_or(metadata.target());
        write!(writer, r#","target":{}"#, serde_json::Value::from(target))?;
        let mut spans = Vec::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
            let comma = if fields.is_empty() { "" } else { "," };
            spans.push(format!(r#"{{{fields}{comma}"name":"{}"}}"#, span.name()));
        }
        if let Some(span) = spans.last() {
            write!(writer, r#","span":{span},"spans":[{}]"#, spans.join(","))?;
        }
        writeln!(writer, "}}")
    }
}

/// A span's fields, as the inside of a JSON object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonFields;

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pieces = Pieces::default();
        fields.record(&mut pieces);
        for (index, (name, value)) in pieces.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(writer, r#"{comma}"{name}":{}"#, value.json())?;
        }
        Ok(())
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        if !current.fields.is_empty() {
            current.fields.push(',');
        }
        self.format_fields(current.as_writer(), fields)
    }
}

/// An event's fields, each of them bounded.
#[derive(Default)]
struct Pieces {
    fields: Vec<(&'static str, Piece)>,
    /// Where a line of the `log` crate really came from.
    target: Option<String>,
}

enum Piece {
    /// Numbers and truth values.
    Plain(String),
    /// What a type's `Display` or `Debug` says.
    Said(String),
    /// A string.
    String(String),
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Said(text) | Self::String(text) => text,
        }
    }

    fn quoted(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            // A word, or a value in brackets: easier to read as it is.
            Self::Said(text) if !text.is_empty() && !text.contains([' ', '"']) => text.clone(),
            // What would end the quotes is escaped, so that a value cannot pretend to be the next field.
            Self::Said(text) | Self::String(text) => {
                format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
            }
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Said(text) | Self::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        }
    }
}

impl Pieces {
    fn add(&mut self, field: &Field, piece: Piece) {
        match field.name() {
            "log.target" => self.target = Some(piece.text().to_owned()),
            // What the `log` crate's bridge adds for itself.
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, piece)),
        }
    }
}

impl Visit for Pieces {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Whoever asks for backtraces wants to read them.
        let longest = if field.name() == "backtrace" { MOST_LOOKED_AT } else { LONGEST };
        self.add(field, Piece::Said(bounded_to(longest, &format_args!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Piece::String(bounded(&value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Piece::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Piece::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        // JSON has no word for what is no number.
        self.add(field, if value.is_finite() { Piece::Plain(text) } else { Piece::Said(text) });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Piece::Plain(value.to_string()));
    }
}

/// The beginning of what is written to it.
struct Head {
    text: String,
}

impl fmt::Write for Head {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MOST_LOOKED_AT.saturating_sub(self.text.len());
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.text.push_str(text.get(..end).unwrap_or_default());
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// `live_` and letters or digits behind it are a stream key, wherever they came from; also with the `_` escaped as in a
/// URL.
fn without_keys(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let behind_beginning = |text: &str| {
        let ends = KEY_BEGINNINGS
            .iter()
            .filter_map(|beginning| Some(text.find(beginning)?.saturating_add(beginning.len())));
        ends.min()
    };
    while let Some(key) = behind_beginning(rest) {
        let behind = rest.get(key..).unwrap_or_default();
        let length = behind.bytes().take_while(u8::is_ascii_alphanumeric).count();
        masked.push_str(rest.get(..key).unwrap_or_default());
        rest = behind;
        if length >= SHORTEST_KEY {
            masked.push_str("***");
            rest = behind.get(length..).unwrap_or_default();
        }
    }
    masked.push_str(rest);
    masked
}

/// Control characters, line and paragraph separators, invisible ones, and those that reorder what follows.
fn acts_on_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

const MESSAGE: &str = "message";
/// Characters of a field: an error with its causes; no page of a request.
const LONGEST: usize = 256;
/// Bytes of a value that are formatted at all: more than [`LONGEST`] characters and a key behind them.
const MOST_LOOKED_AT: usize = 4096;
const KEY_BEGINNINGS: [&str; 3] = ["live_", "live%5F", "live%5f"];
/// Half a key is a secret too; words such as `live_streams` are none.
const SHORTEST_KEY: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "live_0123456789ABCDEFGHIJKLMNOPQRSTUV";

    #[test]
    fn a_value_stays_on_its_line_and_within_its_length() {
        for (text, expected) in [
            ("plain words, ümläute and 漢字", "plain words, ümläute and 漢字"),
            ("two\nlines\r\n\ttabs", "two\\nlines\\r\\n\\ttabs"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("C1 \u{9b}31m", "C1 \\u{9b}31m"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            ("\u{202e}nocod\u{2066}", "\\u{202e}nocod\\u{2066}"),
            ("nothing\u{200b}\u{feff}\0", "nothing\\u{200b}\\u{feff}\\u{0}"),
        ] {
            assert_eq!(bounded(&text), expected);
        }
        let long = bounded(&"x".repeat(100_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
        assert_eq!(bounded(&"ü".repeat(LONGEST)), "ü".repeat(LONGEST));
    }

    #[test]
    fn a_stream_key_is_masked_wherever_it_stands() {
        for text in [
            KEY.to_owned(),
            format!("rtmp://host/live/{KEY}"),
            format!("live/{KEY}?a={KEY}"),
            KEY.replace('_', "%5F"),
            KEY.replace('_', "%5f"),
            format!("live_{KEY}"),
            format!("{}{KEY}", "x".repeat(LONGEST - 10)),
            format!("{}{KEY}", "x".repeat(MOST_LOOKED_AT - 25)),
        ] {
            let shown = bounded(&text);
            assert!(!shown.contains("0123456789AB"), "{shown}");
        }
        assert_eq!(bounded(&"live_streams and live_"), "live_streams and live_");
        assert_eq!(bounded(&format!("app={KEY}, and more")), "app=live_***, and more");
    }
}
