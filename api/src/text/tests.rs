use proptest::prelude::*;

use super::*;

fn verdict<F: Field>(text: &str) -> Result<String, String> {
    let text = Text::<F>::new(text);
    text.validate()
        .map_err(|report| report.iter().map(|(_, error)| error.to_string()).collect::<String>())?;
    Ok(text.as_str().to_owned())
}

#[test]
fn a_title_is_cleaned_of_what_nobody_sees() {
    for (typed, kept) in [
        ("  Chess at noon ", "Chess at noon"),
        ("\u{feff}Chess\u{200b} at\u{ad} noon\u{2060}", "Chess at noon"),
        // Decomposed and composed are one text.
        ("Cafe\u{301}", "Café"),
        ("\u{1112}\u{1161}\u{11ab}", "한"),
        // A family, a flag of regions, a heart in colour, and Persian with its joiner.
        ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
        (
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
        ),
        ("❤\u{fe0f}", "❤\u{fe0f}"),
        ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        // Newer than our tables.
        ("\u{1faff}", "\u{1faff}"),
        ("שלום", "שלום"),
        ("?!", "?!"),
    ] {
        assert_eq!(verdict::<TitleField>(typed).as_deref(), Ok(kept), "{typed:?}");
    }
}

#[test]
fn a_title_in_which_nothing_is_seen_is_empty() {
    for invisible in [
        "",
        "   ",
        "\u{a0}\u{3000}\u{2003}",
        "\u{200b}",
        "\u{200b} \u{200c}\u{200d}",
        "\u{feff}",
        "\u{ad}",
        "\u{3164}",
        "\u{115f}\u{1160}",
        "\u{2800}",
        "\u{fe0f}",
        "\u{e0067}",
        "\u{301}",
        "\u{2060}\u{2063}",
        "\u{180e}",
        "\u{34f}",
    ] {
        assert_eq!(
            verdict::<TitleField>(invisible),
            Err("length is lower than 1".to_owned()),
            "{invisible:?}"
        );
    }
}

#[test]
fn a_title_that_deceives_or_breaks_its_line_is_refused() {
    for (treacherous, named) in [
        ("two\nlines", "U+000A"),
        ("two\u{2028}lines", "U+2028"),
        ("two\u{2029}lines", "U+2029"),
        ("\u{2028}", ""),
        ("next\u{85}line", "U+0085"),
        ("nul\0", "U+0000"),
        ("escape\u{1b}[31m", "U+001B"),
        ("c1\u{9b}31m", "U+009B"),
        ("del\u{7f}", "U+007F"),
        ("\u{202e}backwards", "U+202E"),
        ("\u{2066}isolated", "U+2066"),
        ("mark\u{200f}", "U+200F"),
        ("mark\u{61c}", "U+061C"),
        ("unassigned\u{378}", "U+0378"),
        ("noncharacter\u{ffff}", "U+FFFF"),
        ("private\u{e000}", "U+E000"),
    ] {
        let words = verdict::<TitleField>(treacherous).unwrap_err();
        assert!(words.contains(named), "{treacherous:?}: {words}");
    }
}

#[test]
fn length_is_counted_after_cleaning() {
    assert!(verdict::<TitleField>(&"é".repeat(140)).is_ok());
    assert!(verdict::<TitleField>(&"e\u{301}".repeat(140)).is_ok());
    assert!(verdict::<TitleField>(&format!("{}{}", "x".repeat(140), "\u{200b}".repeat(500))).is_ok());
    assert_eq!(verdict::<TitleField>(&"x".repeat(141)), Err("length is greater than 140".to_owned()));
    // Composing makes two of it.
    assert_eq!(verdict::<TitleField>(&"\u{958}".repeat(71)), Err("length is greater than 140".to_owned()));
    assert_eq!(verdict::<SearchField>("\u{200b}a\u{200b}"), Err("length is lower than 2".to_owned()));
}

#[test]
fn a_description_has_lines_and_may_be_empty() {
    for (typed, kept) in [
        ("", ""),
        ("\u{200b}\n\u{200b}", ""),
        ("Come\nand see", "Come\nand see"),
        ("Come\r\nand\rsee\u{2028}all\u{2029}of\u{85}it", "Come\nand\nsee\nall\nof\nit"),
        ("a\tb", "a\tb"),
    ] {
        assert_eq!(verdict::<DescriptionField>(typed).as_deref(), Ok(kept), "{typed:?}");
    }
    for treacherous in ["nul\0", "\u{202e}backwards", "escape\u{1b}[31m", "\0", "\u{202e}"] {
        assert!(verdict::<DescriptionField>(treacherous).is_err(), "{treacherous:?}");
    }
    assert!(verdict::<DescriptionField>(&"y".repeat(5001)).is_err());
}

proptest! {
    #[test]
    fn what_was_accepted_is_accepted_unchanged_again(text in any::<String>()) {
        if let Ok(kept) = verdict::<TitleField>(&text) {
            prop_assert_eq!(verdict::<TitleField>(&kept), Ok(kept.clone()));
            prop_assert!(!kept.contains('\0') && kept.chars().count() <= 140 && !kept.is_empty());
        }
        if let Ok(kept) = verdict::<DescriptionField>(&text) {
            prop_assert_eq!(verdict::<DescriptionField>(&kept), Ok(kept.clone()));
            prop_assert!(!kept.contains('\0') && kept.chars().count() <= 5_000);
        }
    }
}

#[test]
fn a_pattern_matches_only_what_was_typed() {
    for (typed, beginning) in [("ana", "ana%"), ("100%", r"100\%%"), ("a_b", r"a\_b%"), (r"a\", r"a\\%")] {
        assert_eq!(pattern_of_beginning(typed), beginning);
        assert_eq!(pattern_of_part(&SearchWords::new(typed)), format!("%{beginning}"));
    }
}
