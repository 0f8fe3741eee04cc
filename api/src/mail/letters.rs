//! Every text that is mailed. Subjects are fixed, and nothing that somebody entered but their username stands in a text: a mail
//! from here must not carry a stranger's words.

use chrono::{DateTime, Utc};

use crate::auth::one_time_token::OneTimeToken;
use crate::auth::{email_verification, password_reset};

/// What somebody finds in their mailbox.
pub(crate) struct Letter {
    pub(super) subject: &'static str,
    pub(super) text: String,
}

/// A subscription, as letters tell of it.
pub(crate) struct Told<'a> {
    pub(crate) public_url: &'a str,
    pub(crate) username: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) tier: &'a str,
    /// "9.99 EUR".
    pub(crate) price: &'a str,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) withdraw_until: DateTime<Utc>,
    /// When what the letter is about happened.
    pub(crate) at: DateTime<Utc>,
}

/// That a subscription has begun: what was agreed, and how it ends.
pub(crate) fn subscribed(told: &Told<'_>) -> Letter {
    let Told { public_url, username, channel, tier, price, .. } = told;
    let (from, until) = (moment(told.at), moment(told.expires_at));
    let withdraw = match told.withdraw_until {
        until if until > told.at => {
            format!(", or withdraw from it until {} with all of the money back", moment(until))
        }
        _ => String::new(),
    };
    Letter {
        subject: "Your subscription",
        text: format!(
            "Hello {username},\n\
             \n\
             you subscribe to the channel of {channel} at\n\
             {public_url}\n\
             since {from}. Tier: {tier}. Price: {price} a month, tax included.\n\
             It is paid until {until} and renewed each month until you cancel it.\n\
             \n\
             Cancel it at any time{withdraw}:\n\
             \n\
             {public_url}/settings/subscriptions\n"
        ),
    }
}

/// That a subscription is not renewed any more.
pub(crate) fn cancelled(told: &Told<'_>) -> Letter {
    let Told { public_url, username, channel, tier, .. } = told;
    let (at, until) = (moment(told.at), moment(told.expires_at));
    Letter {
        subject: "Your subscription is cancelled",
        text: format!(
            "Hello {username},\n\
             \n\
             on {at} you cancelled your subscription ({tier}) of the channel of {channel} at\n\
             {public_url}\n\
             \n\
             Nothing more is charged. What you have paid for lasts until {until}.\n"
        ),
    }
}

/// That somebody withdrew from the contract, and when: the acknowledgement that the law asks for.
pub(crate) fn withdrawn(told: &Told<'_>) -> Letter {
    let Told { public_url, username, channel, tier, .. } = told;
    let at = moment(told.at);
    Letter {
        subject: "Your withdrawal",
        text: format!(
            "Hello {username},\n\
             \n\
             on {at} we received your withdrawal from the contract about a subscription ({tier}) of the channel of {channel} at\n\
             {public_url}\n\
             \n\
             The subscription has ended. What you paid for it goes back the way it came, which may take your bank some days.\n"
        ),
    }
}

/// That a renewal could not be charged.
pub(crate) fn unpaid(told: &Told<'_>) -> Letter {
    let Told { public_url, username, channel, tier, price, .. } = told;
    Letter {
        subject: "Your subscription could not be renewed",
        text: format!(
            "Hello {username},\n\
             \n\
             the renewal of your subscription ({tier}, {price} a month) of the channel of {channel} at\n\
             {public_url}\n\
             could not be charged. It is tried again; until then you keep what you have.\n\
             \n\
             To pay another way, open:\n\
             \n\
             {public_url}/settings/subscriptions\n"
        ),
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d at %H:%M UTC").to_string()
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
