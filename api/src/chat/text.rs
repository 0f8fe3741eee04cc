//! What may be said: one line of text that looks the same to everybody.

use garde::Validate as _;
use unicode_normalization::char::is_combining_mark;

use super::ChatError;
use crate::text::{Field, Lines, Text};

/// A message as it is kept and shown: text, never markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChatText(String);

impl ChatText {
    /// Cleaned: white space becomes single spaces, marks that pile up are cut down, and the rest is as in `crate::text`.
    pub(crate) fn new(typed: &str) -> Result<Self, ChatError> {
        let one_line = typed.split_whitespace().collect::<Vec<_>>().join(" ");
        // Cut when what is never seen is gone: it may have stood between two marks.
        let text = Text::<ChatField>::new(&without_towers(Text::<ChatField>::new(&one_line).as_str()));
        let kept = text.as_str();
        if kept.chars().count() > LONGEST {
            return Err(ChatError::TooLong);
        }
        if text.validate().is_err() {
            return Err(if kept.is_empty() { ChatError::Empty } else { ChatError::Treacherous });
        }
        Ok(Self(kept.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug)]
struct ChatField;

impl Field for ChatField {
    const MIN: usize = 1;
    const MAX: usize = LONGEST;
    const LINES: Lines = Lines::One;
}

/// At most [`MARKS`] combining marks in a row: more cover the lines above and below. Of composed text, in which an accent that has
/// a letter of its own is no mark.
fn without_towers(text: &str) -> String {
    let mut height = 0_usize;
    text.chars()
        .filter(|&character| {
            height = if is_combining_mark(character) { height.saturating_add(1) } else { 0 };
            height <= MARKS
        })
        .collect()
}

/// In characters; so many have Twitch and IVS.
pub(crate) const LONGEST: usize = 500;
/// No script puts more on one letter, once what can be is composed.
const MARKS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_one_line_that_covers_no_other() {
        let tower = format!("z{}", "\u{36f}".repeat(40));
        for (typed, kept) in [
            ("  hola \n\n  mundo\t!", Ok("hola mundo !")),
            ("cafe\u{301}", Ok("café")),
            ("👩\u{200d}👩\u{200d}👧", Ok("👩\u{200d}👩\u{200d}👧")),
            ("<b>bold</b>", Ok("<b>bold</b>")),
            (" \u{200b}\u{feff} ", Err(ChatError::Empty)),
            ("", Err(ChatError::Empty)),
            ("\u{202e}evil", Err(ChatError::Treacherous)),
            ("bell\u{7}", Err(ChatError::Treacherous)),
            (&"x".repeat(501), Err(ChatError::TooLong)),
        ] {
            let said = ChatText::new(typed);
            assert_eq!(said.as_ref().map(ChatText::as_str).map_err(|error| *error), kept, "{typed}");
        }
        assert_eq!(ChatText::new(&tower).unwrap().as_str().chars().count(), 5);
        assert!(ChatText::new(&"ñ".repeat(500)).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_kept_is_kept_again(typed in any::<String>()) {
            if let Ok(kept) = ChatText::new(&typed) {
                prop_assert_eq!(ChatText::new(kept.as_str()), Ok(kept.clone()));
                let treacherous = kept.as_str().contains(['\n', '\0', '\u{202e}']);
                prop_assert!(!treacherous);
            }
        }
    }
}
