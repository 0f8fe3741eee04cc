//! Every text that is mailed. Subjects are fixed, and nothing that somebody entered but their username stands in a text: a mail
//! from here must not carry a stranger's words.

use crate::auth::one_time_token::OneTimeToken;
use crate::auth::{email_verification, password_reset};

/// What somebody finds in their mailbox.
pub(super) struct Letter {
    pub(super) subject: &'static str,
    pub(super) text: String,
}

pub(super) fn reset(public_url: &str, username: &str, token: &OneTimeToken) -> Letter {
    let link = password_reset::link(public_url, token);
    Letter {
        subject: "Choose a new password",
        text: format!(
            "Hello {username},\n\
             \n\
             somebody has asked for a new password for your account at\n\
             {public_url}\n\
             \n\
             To choose one, open this link within an hour. It works once.\n\
             \n\
             {link}\n\
             \n\
             If it was not you, do nothing: your password stays as it is.\n"
        ),
    }
}

pub(super) fn verification(public_url: &str, username: &str, token: &OneTimeToken) -> Letter {
    let link = email_verification::link(public_url, token);
    Letter {
        subject: "Confirm your email address",
        text: format!(
            "Hello {username},\n\
             \n\
             this address was given for an account at\n\
             {public_url}\n\
             \n\
             If it is yours, open this link within three days:\n\
             \n\
             {link}\n\
             \n\
             If it is not, do nothing.\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_has_its_link_on_a_line_of_its_own_under_the_public_address() {
        let token = OneTimeToken::generate();
        for (letter, page) in [
            (reset("https://live.example", "ana", &token), "reset-password"),
            (verification("https://live.example", "ana", &token), "verify-email"),
        ] {
            let link = format!("https://live.example/{page}#token={}", token.reveal());
            assert!(letter.text.lines().any(|line| line == link), "{}", letter.text);
            assert!(letter.text.starts_with("Hello ana,\n"));
            assert!(letter.subject.is_ascii() && !letter.subject.contains(['\r', '\n']));
        }
    }
}
