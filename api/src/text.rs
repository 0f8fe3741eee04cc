//! Text that people enter: cleaned as it is read, and refused where nothing or something treacherous is left.
//!
//! * Composed (NFC), without white space around it, and without characters that are never seen: a title of zero-width
//!   spaces is an empty title.
//! * Without control characters, and without those that turn the reading direction: a title is shown between other
//!   people's words.
//! * Without unassigned and private characters, which look different on every device, or not at all.
//!
//! Joiners, variation selectors and tags stay: emoji and several scripts are written with them.

use std::fmt;
use std::marker::PhantomData;

use garde::Validate;
use garde::error::Path;
use serde::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// What a field takes.
pub(crate) trait Field {
    /// Characters at least, of which one can be seen; 0 lets the text be empty.
    const MIN: usize;
    /// Characters at most.
    const MAX: usize;
    const LINES: Lines;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    One,
    Many,
}

/// `streams.title`.
#[derive(Debug)]
pub(crate) struct TitleField;

impl Field for TitleField {
    const MIN: usize = 1;
    const MAX: usize = 140;
    const LINES: Lines = Lines::One;
}

/// `streams.description`: as long as anybody reads.
#[derive(Debug)]
pub(crate) struct DescriptionField;

impl Field for DescriptionField {
    const MIN: usize = 0;
    const MAX: usize = 5_000;
    const LINES: Lines = Lines::Many;
}

/// `users.display_name`: what somebody is called, beside their username.
#[derive(Debug)]
pub(crate) struct DisplayNameField;

impl Field for DisplayNameField {
    const MIN: usize = 1;
    const MAX: usize = 50;
    const LINES: Lines = Lines::One;
}

/// `users.bio`: a few lines about oneself.
#[derive(Debug)]
pub(crate) struct BioField;

impl Field for BioField {
    const MIN: usize = 0;
    const MAX: usize = 500;
    const LINES: Lines = Lines::Many;
}

/// `users.ban_reason`: why somebody is banned, for other admins.
#[derive(Debug)]
pub(crate) struct BanReasonField;

impl Field for BanReasonField {
    const MIN: usize = 0;
    const MAX: usize = 500;
    const LINES: Lines = Lines::Many;
}

/// `invitations.note`: whom one is for.
#[derive(Debug)]
pub(crate) struct InvitationNoteField;

impl Field for InvitationNoteField {
    const MIN: usize = 0;
    const MAX: usize = 100;
    const LINES: Lines = Lines::One;
}

/// `categories.name`.
#[derive(Debug)]
pub(crate) struct CategoryNameField;

impl Field for CategoryNameField {
    const MIN: usize = 1;
    const MAX: usize = 64;
    const LINES: Lines = Lines::One;
}

/// `channel_bans.reason`: a few words for other moderators.
#[derive(Debug)]
pub(crate) struct ReasonField;

impl Field for ReasonField {
    const MIN: usize = 0;
    const MAX: usize = 200;
    const LINES: Lines = Lines::One;
}

/// `blocked_terms.term`.
#[derive(Debug)]
pub(crate) struct TermField;

impl Field for TermField {
    const MIN: usize = 1;
    const MAX: usize = 64;
    const LINES: Lines = Lines::One;
}

/// Words to look for: composed as titles are, or they would not be found.
#[derive(Debug)]
pub(crate) struct SearchField;

impl Field for SearchField {
    const MIN: usize = 2;
    const MAX: usize = 64;
    const LINES: Lines = Lines::One;
}

pub(crate) type Title = Text<TitleField>;
pub(crate) type Description = Text<DescriptionField>;
pub(crate) type DisplayName = Text<DisplayNameField>;
pub(crate) type Bio = Text<BioField>;
pub(crate) type BanReason = Text<BanReasonField>;
pub(crate) type InvitationNote = Text<InvitationNoteField>;
pub(crate) type CategoryName = Text<CategoryNameField>;
pub(crate) type Reason = Text<ReasonField>;
pub(crate) type TermText = Text<TermField>;
pub(crate) type SearchWords = Text<SearchField>;

/// Text for the field `F`: cleaned when it is deserialized, checked by `validate`.
pub(crate) struct Text<F>(String, PhantomData<F>);

impl<F: Field> Text<F> {
    /// Cleaned, not yet checked.
    pub(crate) fn new(text: &str) -> Self {
        Self(clean(text, F::LINES), PhantomData)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<F: Field> Default for Text<F> {
    fn default() -> Self {
        Self(String::new(), PhantomData)
    }
}

impl<F> fmt::Debug for Text<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, F: Field> Deserialize<'de> for Text<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl<F: Field> Validate for Text<F> {
    type Context = ();

    fn validate_into(&self, (): &(), parent: &mut dyn FnMut() -> Path, report: &mut garde::Report) {
        let length = self.0.chars().count();
        let treacherous = self.0.chars().find(|&character| is_treacherous(character, F::LINES));
        let wrong = if let Some(character) = treacherous {
            format!("the character U+{:04X} cannot be used here", u32::from(character))
        } else if length < F::MIN || (F::MIN > 0 && !self.0.chars().any(is_seen)) {
            format!("length is lower than {}", F::MIN)
        } else if length > F::MAX {
            format!("length is greater than {}", F::MAX)
        } else {
            return;
        };
        report.append(parent(), garde::Error::new(wrong));
    }
}

/// A pattern for `like` that matches what begins with `text`.
pub(crate) fn pattern_of_beginning(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// A pattern for `ilike` that matches what has the words in it.
pub(crate) fn pattern_of_part(words: &SearchWords) -> String {
    format!("%{}", pattern_of_beginning(words.as_str()))
}

fn clean(text: &str, lines: Lines) -> String {
    // Composed last: what is taken out may have stood between a letter and its accent.
    let composed: String = text.chars().filter(|&character| !is_never_seen(character)).nfc().collect();
    let text = match lines {
        Lines::One => composed,
        // Line breaks of other systems, and those that word processors put between lines.
        Lines::Many => composed.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n"),
    };
    let text = text.trim();
    // Joiners and selectors are seen only beside something that is.
    if text.chars().any(is_seen) { text.to_owned() } else { leftovers(text) }
}

/// Of a text in which nothing is seen, what must be refused rather than forgotten.
fn leftovers(text: &str) -> String {
    text.chars().filter(|&character| is_treacherous(character, Lines::Many)).collect()
}

/// `Default_Ignorable_Code_Point` but for what emoji and scripts need: soft hyphens, zero-width spaces, byte-order marks,
/// fillers.
fn is_never_seen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
    )
}

/// `Bidi_Control`, and what no font shows the same.
fn is_treacherous(character: char, lines: Lines) -> bool {
    if matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    {
        return true;
    }
    match character.general_category() {
        GeneralCategory::Control => lines == Lines::One || !matches!(character, '\n' | '\t'),
        GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::PrivateUse => true,
        // Kept free for emoji (`Extended_Pictographic`): a phone may be newer than our tables.
        GeneralCategory::Unassigned => !matches!(character, '\u{1f000}'..='\u{1faff}'),
        _ => false,
    }
}

/// Letters, digits, punctuation, symbols: what is seen by itself.
fn is_seen(character: char) -> bool {
    // A braille pattern without dots is a symbol that is not seen.
    if character == '\u{2800}' || is_never_seen(character) {
        return false;
    }
    match character.general_category_group() {
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol => true,
        _ => matches!(character, '\u{1f000}'..='\u{1faff}'),
    }
}

#[cfg(test)]
mod tests;
