//! Terms that a channel does not want to read.

use regex::{RegexSet, RegexSetBuilder, escape};

use crate::disguise::{Reading, Stars, words};

/// One of them, as whole words in which `*` stands for any letters: `spam` is that word, `spam*` every word that begins so, and
/// `*spam*` every word that has it inside. What a message is dressed up as does not matter (`disguise`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    plain: String,
    disguised: String,
}

impl Term {
    /// None where it has nothing to look for, or more than [`MOST_STARS`].
    pub(crate) fn parse(typed: &str) -> Option<Self> {
        let read = |reading| words(typed, reading, Stars::Kept).trim().to_owned();
        let (plain, disguised) = (read(Reading::Plain), read(Reading::Disguised));
        let stars = plain.chars().filter(|character| *character == '*').count();
        let sought = plain.chars().any(|character| !matches!(character, '*' | ' '));
        (sought && stars <= MOST_STARS).then_some(Self { plain, disguised })
    }

    /// Whether it stands for more than itself.
    pub(crate) fn has_stars(&self) -> bool {
        self.plain.contains('*')
    }

    fn patterns(&self) -> impl Iterator<Item = String> {
        let disguised = (self.disguised != self.plain).then_some(self.disguised.as_str());
        [self.plain.as_str()].into_iter().chain(disguised).map(pattern)
    }
}

/// In a text as [`words`] writes it. A star at an end needs no expression: what lies before a word, or after it, may be anything.
fn pattern(term: &str) -> String {
    let middle = term.trim_matches('*');
    let mut pattern = String::new();
    if !term.starts_with('*') {
        pattern.push(' ');
    }
    for (n, piece) in middle.split('*').enumerate() {
        if n > 0 {
            pattern.push_str("[^ ]*");
        }
        pattern.push_str(&escape(piece));
    }
    if !term.ends_with('*') {
        pattern.push(' ');
    }
    pattern
}

/// All terms of a channel, compiled: a message is searched for all of them at once, in time that grows with its length alone.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    typed: Vec<String>,
    set: RegexSet,
}

impl Terms {
    /// None of them.
    pub(crate) fn none() -> Self {
        Self { typed: Vec::new(), set: RegexSet::empty() }
    }

    /// Of what was typed, [`MOST_TERMS`] at most.
    pub(crate) fn compile(typed: Vec<String>) -> Self {
        let patterns = typed
            .iter()
            .filter_map(|typed| Term::parse(typed))
            .flat_map(|term| term.patterns().collect::<Vec<_>>());
        let set = RegexSetBuilder::new(patterns).size_limit(MOST_BYTES).build();
        let set = set.unwrap_or_else(|error| {
            // The bounds on terms leave no way to this.
            tracing::error!(%error, terms = typed.len(), "a channel's blocked terms cannot be compiled, and do not count");
            RegexSet::empty()
        });
        Self { typed, set }
    }

    /// Whether these are what was compiled.
    pub(crate) fn are(&self, typed: &[String]) -> bool {
        self.typed == typed
    }

    /// Whether a message has one of them.
    pub(crate) fn are_in(&self, message: &str) -> bool {
        if self.set.is_empty() {
            return false;
        }
        let plain = words(message, Reading::Plain, Stars::Punctuation);
        self.set.is_match(&plain) || {
            let disguised = words(message, Reading::Disguised, Stars::Punctuation);
            disguised != plain && self.set.is_match(&disguised)
        }
    }
}

/// Of one channel.
pub(crate) const MOST_TERMS: usize = 200;
/// Of one term: nobody needs more, and each makes the search harder.
const MOST_STARS: usize = 4;
/// For what is compiled: above what 200 terms of 64 letters of four bytes take, which a test tries.
const MOST_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_term_is_found_whatever_it_is_dressed_up_as_and_nowhere_else() {
        for (term, blocked, said) in [
            (
                "spam",
                &["spam", "SPAM!", "so, spam?", "ѕраm", "s\u{200d}pam", "spám", "ＳＰＡＭ", "sp4m", "$pam"][..],
                &["spammer", "antispam", "sp am", "esta"][..],
            ),
            ("spam*", &["spam", "spammer", "Spam-bot"], &["antispam"]),
            ("*spam", &["antispam", "spam"], &["spammer"]),
            ("*spam*", &["xspamx", "spam", "@spammer"], &["spa m"]),
            ("s*m", &["spam", "sm", "stream"], &["spa m", "sm4sh", "xspam"]),
            ("buy now", &["buy now", "Buy   NOW!", "please buy, now"], &["buy it now", "buynow"]),
            ("buy * now", &["buy it now", "buy cheap now"], &["buy now"]),
            ("ano", &["ano", "ANO"], &["año", "anos", "mano"]),
            ("año", &["año", "AN\u{303}O"], &["ano"]),
            ("*420*", &["420", "x420x"], &["42 0"]),
            ("4ss", &["4ss", "ass"], &["455"]),
            ("a.b", &["a.b", "a b"], &["axb"]),
            ("(x|y)+", &["x y"], &["x", "y"]),
            ("日本", &["日本"], &["日本語"]),
        ] {
            let terms = Terms::compile(vec!["unrelated".to_owned(), term.to_owned()]);
            for text in blocked {
                assert!(terms.are_in(text), "{term} is not found in {text}");
            }
            for text in said {
                assert!(!terms.are_in(text), "{term} is found in {text}");
            }
        }
        assert!(!Terms::none().are_in("spam"));
    }

    #[test]
    fn a_term_has_something_to_look_for() {
        for nothing in ["", "*", "* *", "?!", "\u{200b}", "*****x", "$"] {
            assert_eq!(Term::parse(nothing), None, "{nothing}");
        }
        assert_eq!(Term::parse("Spam"), Term::parse("ｓｐám"));
    }

    proptest! {
        #[test]
        fn every_term_is_found_in_itself_and_among_other_words(
            term in "[^*]{1,64}",
            before in "[a-z ]{0,20}",
            after in "[a-z ]{0,20}",
        ) {
            if Term::parse(&term).is_some_and(|term| !term.has_stars()) {
                let terms = Terms::compile(vec![term.clone()]);
                prop_assert!(terms.are_in(&term));
                let sentence = format!("{before} {term} {after}");
                prop_assert!(terms.are_in(&sentence));
            }
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn as_many_terms_as_a_channel_may_have_are_compiled(
            typed in proptest::collection::vec("\\PC{1,64}|[a*]{1,64}", MOST_TERMS),
            message in "\\PC{0,500}",
        ) {
            let terms = Terms::compile(typed.clone());
            let some = typed.iter().any(|typed| Term::parse(typed).is_some());
            prop_assert_eq!(terms.set.is_empty(), !some);
            terms.are_in(&message);
        }
    }
}
