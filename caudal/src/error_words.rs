//! The words for an error that ends the program.

use std::fmt::Write as _;

/// An error with its causes, each said once: many errors already show their cause in their own words.
pub fn words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_cause_that_an_error_shows_itself_is_not_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file holds nothing: {0}")]
        struct Shown(#[source] std::io::Error);

        let inner = || std::io::Error::other("no items found");
        let error = anyhow::Error::new(Shown(inner())).context("CAUDAL_TLS_CERT");
        assert_eq!(words(&error), "CAUDAL_TLS_CERT: the file holds nothing: no items found");
        let error = Err::<(), _>(inner()).context("the lock").unwrap_err();
        assert_eq!(words(&error), "the lock: no items found");
    }
}
