//! The settings file: one `NAME = value` a line. Quotes are optional, as in TOML or in a `.env` file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// One setting of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// As it is written.
    pub name: String,
    /// Without its quotes.
    pub value: String,
}

/// All settings of the file at `path`.
///
/// # Errors
/// When the file cannot be read: what is wrong with it, without its name.
pub fn load(path: &Path) -> Result<Vec<Result<Line, String>>, String> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if text.len() > usize::try_from(LARGEST).unwrap_or(usize::MAX) {
        return Err("it is no settings file: it is larger than 1 MiB".to_owned());
    }
    let text =
        String::from_utf8(text).map_err(|_| "it is no settings file: it is not UTF-8 text".to_owned())?;
    Ok(parse(&text))
}

/// A complaint names its line by number and never shows it: there could be a secret in it.
fn parse(text: &str) -> Vec<Result<Line, String>> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().zip(1..);
    lines.filter_map(|(line, number)| setting(line, number).transpose()).collect()
}

fn setting(line: &str, number: usize) -> Result<Option<Line>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let expected = || format!("line {number}: expected NAME = value");
    let (name, value) = line.split_once('=').ok_or_else(expected)?;
    let name = name.trim();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(expected());
    }
    let value = value.trim();
    let value = match value.chars().next() {
        Some('"' | '\'') => {
            let quoted: toml::Table = toml::from_str(&format!("value = {value}"))
                .map_err(|_| format!("line {number}: the quotes around the value of {name} do not match"))?;
            quoted.get("value").and_then(toml::Value::as_str).unwrap_or_default().to_owned()
        }
        Some('[' | '{') => {
            return Err(format!(
                "line {number}: {name} has one value; write lists with commas, as in 720p,480p"
            ));
        }
        _ => without_comment(value).to_owned(),
    };
    Ok(Some(Line { number, name: name.to_owned(), value }))
}

/// A `#` inside a word belongs to the word.
fn without_comment(value: &str) -> &str {
    let comment = value.char_indices().find(|&(at, c)| {
        c == '#'
            && value
                .get(..at)
                .is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    comment.and_then(|(at, _)| value.get(..at)).unwrap_or(value).trim_end()
}

/// Far above any; keeps a wrong file (a device, a video) out of memory.
const LARGEST: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_needs_no_quotes_and_may_have_them() {
        for (line, value) in [
            ("CAUDAL_RECONNECT_WINDOW = 1m", "1m"),
            ("CAUDAL_RECONNECT_WINDOW=1m", "1m"),
            ("CAUDAL_RECONNECT_WINDOW = \"1m\"", "1m"),
            ("CAUDAL_RECONNECT_WINDOW = '1m' # a minute", "1m"),
            ("  CAUDAL_RECONNECT_WINDOW =\t1m  # a minute\r", "1m"),
            ("CAUDAL_RECONNECT_WINDOW =", ""),
            ("CAUDAL_RECONNECT_WINDOW = # unset", ""),
            ("CAUDAL_RECONNECT_WINDOW = a#b = c", "a#b = c"),
        ] {
            let expected = Line { number: 1, name: "CAUDAL_RECONNECT_WINDOW".into(), value: value.into() };
            assert_eq!(parse(line), [Ok(expected)], "{line}");
        }
    }

    #[test]
    fn empty_lines_comments_and_a_byte_order_mark_are_nothing() {
        let lines = parse("\u{feff}# Caudal\r\n\r\nPORT = 4000\r\n  # the end\n");
        assert_eq!(lines, [Ok(Line { number: 3, name: "PORT".into(), value: "4000".into() })]);
    }

    #[test]
    fn a_line_that_is_no_setting_is_named_by_number_and_not_shown() {
        for line in
            ["hunter2", "[section]", "= hunter2", "A B = hunter2", "PORT = [hunter2]", "PORT = \"hunter2"]
        {
            let refused = parse(&format!("\n{line}")).remove(0).unwrap_err();
            assert!(refused.starts_with("line 2: ") && !refused.contains("hunter2"), "{line}: {refused}");
        }
    }

    #[test]
    fn a_file_that_is_missing_a_folder_or_endless_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(&folder.path().join("none")).unwrap_err().contains("No such file"));
        assert!(load(folder.path()).unwrap_err().contains("directory"));
        assert!(load(Path::new("/dev/zero")).unwrap_err().contains("1 MiB"));
    }
}
