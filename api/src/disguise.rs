//! Text as it is compared, whatever it was dressed up as: case, accents, look-alike letters, characters that are not seen.

use icu_casemap::CaseMapper;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// How digits and signs inside a word are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As what they are: `sp4m` is not `spam`.
    Plain,
    /// As the letters that they stand for, in words that have a letter: `sp4m` is `spam`, and 455 remains a number.
    Disguised,
}

/// What a `*` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stars {
    Punctuation,
    Kept,
}

/// The words of a text, each followed by a space, and a space before the first: ` two words `. Without words, a single space.
pub(crate) fn words(text: &str, reading: Reading, stars: Stars) -> String {
    let decomposed: String = text.nfkd().collect();
    let folded = CaseMapper::new().fold_string(&decomposed);
    let mut all = String::from(" ");
    let mut word = String::new();
    // Folding may have made what can be taken apart again.
    for character in folded.nfkd() {
        if is_ornament(character) {
            if character == TILDE && word.ends_with('n') {
                // A letter of its own in Spanish, where an accent makes none: año is not ano.
                word.pop();
                word.push('ñ');
            }
        } else if let Some(letters) = look_alike(character) {
            word.push_str(letters);
        } else if belongs_to_word(character, reading, stars) {
            word.push(character);
        } else {
            finish(&mut word, reading, &mut all);
        }
    }
    finish(&mut word, reading, &mut all);
    all
}

fn finish(word: &mut String, reading: Reading, all: &mut String) {
    // Before a word it mentions somebody.
    let kept = word.trim_start_matches('@');
    let before = all.len();
    if reading == Reading::Disguised && kept.chars().any(char::is_alphabetic) {
        all.extend(kept.chars().map(|character| stands_for(character).unwrap_or(character)));
    } else {
        all.extend(kept.chars().filter(|character| !is_sign(*character)));
    }
    if all.len() > before {
        all.push(' ');
    }
    word.clear();
}

/// Marks on letters, and what is never seen. Vowel signs that stand beside their letter are part of the word.
fn is_ornament(character: char) -> bool {
    matches!(
        character.general_category(),
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark | GeneralCategory::Format
    )
}

fn belongs_to_word(character: char, reading: Reading, stars: Stars) -> bool {
    match character.general_category_group() {
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number | GeneralCategoryGroup::Mark => true,
        _ => {
            (character == '*' && stars == Stars::Kept)
                || (is_sign(character) && reading == Reading::Disguised)
        }
    }
}

fn is_sign(character: char) -> bool {
    matches!(character, '@' | '$')
}

fn stands_for(character: char) -> Option<char> {
    Some(match character {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '8' => 'b',
        _ => return None,
    })
}

/// Letters, folded, that look like Latin ones, or did before they were folded. Compatibility forms are gone by now.
fn look_alike(character: char) -> Option<&'static str> {
    if character.is_ascii() {
        return None;
    }
    LOOK_ALIKES.iter().find(|(_, like)| like.contains(character)).map(|(letters, _)| *letters)
}

/// Of Cyrillic, Greek, and of Latin letters that nothing decomposes, small capitals among them.
const LOOK_ALIKES: &[(&str, &str)] = &[
    ("a", "аαɑᴀ"),
    ("ae", "æ"),
    ("b", "вβƀɓʙ"),
    ("c", "сϲᴄ"),
    ("d", "ԁđðɗᴅ"),
    ("e", "еєεəᴇ"),
    ("f", "ꜰ"),
    ("g", "ɡɠɢ"),
    ("h", "һнηħʜ"),
    ("i", "іӏιıɩɪ"),
    ("j", "јᴊ"),
    ("k", "кκᴋ"),
    ("l", "łƚʟ"),
    ("m", "мμᴍ"),
    ("n", "ŋɴ"),
    ("o", "оοσøɵᴏ"),
    ("oe", "œ"),
    ("p", "рρᴘ"),
    ("q", "ԛꞯ"),
    ("r", "ʀ"),
    ("s", "ѕꜱ"),
    ("t", "тτŧᴛ"),
    ("u", "υᴜ"),
    ("v", "ѵνʋᴠ"),
    ("w", "ԝωᴡ"),
    ("x", "хχ"),
    ("y", "уүʏ"),
    ("z", "ζƶᴢ"),
];
const TILDE: char = '\u{303}';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_read_as_what_it_looks_like() {
        for (typed, plain, disguised) in [
            ("Hola, mundo!", " hola mundo ", " hola mundo "),
            ("ＨＯＬＡ 𝓱𝓸𝓵𝓪 ⓗⓞⓛⓐ", " hola hola hola ", " hola hola hola "),
            ("h\u{200d}o\u{301}l\u{200b}a\u{fe0f}", " hola ", " hola "),
            ("ѕраm SPΑM", " spam spam ", " spam spam "),
            ("sp4m 5p@m 455 $100", " sp4m 5p m 455 100 ", " spam spam 455 100 "),
            ("@ana", " ana ", " ana "),
            ("El año, canción", " el año cancion ", " el año cancion "),
            (
                "ꜱᴘᴀᴍ ᴄʜᴇᴀᴘ ꜰᴏʟʟᴏᴡᴇʀꜱ ᴊᴜɴᴋ ᴠʏᴢɢᴅʙᴍᴛɪ ʀ",
                " spam cheap followers junk vyzgdbmti r ",
                " spam cheap followers junk vyzgdbmti r ",
            ),
            ("Straße Łódź", " strasse lodz ", " strasse lodz "),
            ("* ?!", " ", " "),
            ("", " ", " "),
            ("日本語 123", " 日本語 123 ", " 日本語 123 "),
        ] {
            assert_eq!(words(typed, Reading::Plain, Stars::Punctuation), plain, "{typed}");
            assert_eq!(words(typed, Reading::Disguised, Stars::Punctuation), disguised, "{typed}");
        }
        assert_eq!(words("Spam* *x", Reading::Plain, Stars::Kept), " spam* *x ");
    }

    proptest! {
        #[test]
        fn words_are_words_again(text in any::<String>()) {
            for reading in [Reading::Plain, Reading::Disguised] {
                let once = words(&text, reading, Stars::Punctuation);
                prop_assert!(once.starts_with(' ') && once.ends_with(' ') && !once.contains("  "));
                prop_assert_eq!(words(&once, reading, Stars::Punctuation), once);
            }
        }
    }
}
