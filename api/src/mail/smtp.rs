//! The server that takes mails.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::letters::Letter;

/// How mails leave.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The server, and who we are there (`SMTP_URL`).
    pub url: SecretString,
    /// Whom mails are from, as in `Caudal <no-reply@live.example>` (`SMTP_FROM`).
    pub from: String,
}

/// Whether an `SMTP_URL` is one.
///
/// # Errors
/// What is expected; never the URL itself, which holds a password.
pub fn check_smtp_url(url: &SecretString) -> Result<(), String> {
    lettres_url(url).map(drop)
}

/// Whether mails can be from there.
///
/// # Errors
/// What is expected.
pub fn check_sender(from: &str) -> Result<(), String> {
    sender(from).map(drop)
}

fn sender(from: &str) -> Result<Mailbox, String> {
    // lettre reads as far as it understands, and drops the rest.
    let is_one = from.matches('@').count() == 1 && !from.chars().any(char::is_control);
    from.parse().ok().filter(|_| is_one).ok_or_else(|| EXPECTED_SENDER.to_owned())
}

/// A connection for each mail: there are few, and none is kept open for months.
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// Does not connect yet.
    pub(super) fn open(config: &MailConfig) -> Result<Self, String> {
        let url = lettres_url(&config.url)?;
        let from = sender(&config.from).map_err(|expected| format!("SMTP_FROM: {expected}"))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            // What is wrong with the URL itself has been said, and may repeat it.
            .map_err(|error| if error.is_tls() { error.to_string() } else { EXPECTED_URL.to_owned() })?
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .timeout(Some(COMMAND_WITHIN))
            .build();
        Ok(Self { transport, from })
    }

    /// A mail, ready to be sent as often as it takes: with one id, so that a mailbox that gets it twice can tell.
    pub(super) fn message(&self, to: &str, letter: Letter) -> Result<Message, Unsendable> {
        let to: Address = to.parse().map_err(|_| Unsendable::Address)?;
        let id = format!("<{}@{}>", Uuid::now_v7(), self.from.email.domain());
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject)
            .message_id(Some(id))
            .date_now()
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text)
            .map_err(|error| Unsendable::Message(error.to_string()))?;
        // RFC 3834: nobody's holiday answers it.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(automatic, "auto-generated".to_owned()));
        Ok(message)
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), SmtpError> {
        self.transport.send(message).await.map(drop)
    }
}

/// Why there is no mail to send.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    /// Accounts may have an address from before it was checked, or one that only another server would take.
    #[error("the account's address is none that mail can be sent to")]
    Address,
    #[error("{0}")]
    Message(String),
}

/// The URL as lettre has it. Where ours says nothing of TLS, it is required: lettre's would go without.
fn lettres_url(url: &SecretString) -> Result<SecretString, String> {
    let expected = || EXPECTED_URL.to_owned();
    let mut url = Url::parse(url.expose_secret().trim()).map_err(|_| expected())?;
    let host = url
        .host_str()
        .filter(|host| !host.is_empty() && !host.starts_with('['))
        .ok_or_else(expected)?
        .to_owned();
    let has_password = !url.username().is_empty() || url.password().is_some();
    let tls = match (url.scheme(), url.query()) {
        ("smtps", None) => None,
        ("smtp", None | Some("tls=required")) => Some("tls=required"),
        ("smtp", Some("tls=none")) => {
            if has_password && !is_this_machine(&host) {
                return Err(
                    "it would send the password unencrypted; leave tls=none out, or the password".to_owned()
                );
            }
            None
        }
        _ => return Err(expected()),
    };
    url.set_query(tls);
    // lettre has the last word, but for certificates, which are no matter of the URL.
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_scheme("smtp").map_err(|()| expected())?;
    AsyncSmtpTransport::<Tokio1Executor>::from_url(plain.as_str()).map_err(|_| expected())?;
    Ok(SecretString::from(String::from(url)))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

const EXPECTED_SENDER: &str =
    "expected an address as in no-reply@live.example, or with a name: Caudal <no-reply@live.example>";
/// For each command of the conversation.
const COMMAND_WITHIN: Duration = Duration::from_secs(15);
const EXPECTED_URL: &str = "expected a URL as in smtps://user:password@mail.example (TLS from the start, port 465) or \
                            smtp://user:password@mail.example:587 (STARTTLS); @ : / ? # and % in a password are written as %40 %3A %2F \
                            %3F %23 and %25. Behind ?tls=none nothing is encrypted, as in smtp://localhost:25?tls=none";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_word_of_tls_requires_it() {
        caudal_service::install_crypto();
        for (url, lettres) in [
            ("smtp://me:a%40b@mail.example", Ok("smtp://me:a%40b@mail.example?tls=required")),
            ("smtp://mail.example:2525?tls=required", Ok("smtp://mail.example:2525?tls=required")),
            ("smtps://me:x@mail.example", Ok("smtps://me:x@mail.example")),
            ("smtp://localhost:25?tls=none", Ok("smtp://localhost:25")),
            ("smtp://me:x@127.0.0.1:25?tls=none", Ok("smtp://me:x@127.0.0.1:25")),
            ("smtp://me:hunter2@mail.example?tls=none", Err("unencrypted")),
            ("smtp://me:hunter2@mail.example?tls=opportunistic", Err("expected a URL")),
            ("smtps://me:hunter2@mail.example?tls=none", Err("expected a URL")),
            ("http://me:hunter2@mail.example", Err("expected a URL")),
            ("hunter2", Err("expected a URL")),
            ("smtp://", Err("expected a URL")),
            ("smtp://me:%ff@mail.example", Err("expected a URL")),
        ] {
            let url = SecretString::from(url);
            let found = lettres_url(&url).map(|found| found.expose_secret().to_owned());
            match lettres {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected)),
                Err(words) => {
                    let said = check_smtp_url(&url).unwrap_err();
                    assert!(said.contains(words) && !said.contains("hunter2"), "{said}");
                }
            }
        }
    }

    #[test]
    fn no_address_brings_a_header_or_a_second_recipient() {
        caudal_service::install_crypto();
        let config = MailConfig {
            url: "smtp://localhost:25?tls=none".into(),
            from: "Caudal <no-reply@live.example>".into(),
        };
        let smtp = Smtp::open(&config).unwrap();
        let letter = || Letter { subject: "Choose a new password", text: "Hello ana,\n".to_owned() };
        for hostile in [
            "ana@example.test\r\nBcc: eve@example.test",
            "ana@example.test\nBcc: eve@example.test",
            "ana@example.test, eve@example.test",
            "ana@example.test> RCPT TO:<eve@example.test",
            "\"ana\r\nBcc: eve\"@example.test",
            "Ana <ana@example.test>",
            "ana@exa mple.test",
            "",
        ] {
            assert!(smtp.message(hostile, letter()).is_err(), "{hostile:?}");
        }
        let message = smtp.message("ana@example.test", letter()).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        let (headers, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            headers.contains("To: ana@example.test") && headers.contains("Auto-Submitted: auto-generated"),
            "{text}"
        );
        assert!(headers.contains("From: Caudal <no-reply@live.example>"), "{text}");
        assert_eq!(body.trim(), "Hello ana,");
        for wrong in ["", "Caudal", "a@b.test\r\nBcc: c@d.test", "a@b.test, c@d.test"] {
            assert!(check_sender(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(check_sender("Caudal <no-reply@live.example>"), Ok(()));
    }
}
