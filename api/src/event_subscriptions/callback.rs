//! Where messages may be sent, by their address alone. Where a name leads is decided when it is connected to: `targets`.

use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::global_address::is_global;

/// Hosts that may be asked though they are private, or without TLS (`CAUDAL_WEBHOOK_HOSTS`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookHosts(Vec<WebhookHost>);

/// One of them, on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookHost {
    /// As a URL has it.
    host: String,
    port: u16,
}

impl FromIterator<WebhookHost> for WebhookHosts {
    fn from_iter<I: IntoIterator<Item = WebhookHost>>(hosts: I) -> Self {
        Self(hosts.into_iter().collect())
    }
}

impl FromStr for WebhookHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a host and its port, as in bot.lan:8080".to_owned();
        let (_, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(expected)?;
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| expected())?;
        let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
        match url.host_str() {
            Some(host) if !has_more && has_no_credentials(&url) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(expected()),
        }
    }
}

/// An address that messages may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Callback {
    pub(super) url: Url,
    pub(super) reach: Reach,
}

/// Where a callback may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the public internet alone.
    Public,
    /// Wherever its name leads, because an operator says so.
    Anywhere,
}

impl Callback {
    /// What somebody wants to be told at, or what is expected instead.
    pub(crate) fn parse(text: &str, hosts: &WebhookHosts) -> Result<Self, &'static str> {
        // A URL's parser would silently leave some of these out.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("no spaces and no control characters");
        }
        let url = Url::parse(text).map_err(|_| "expected a URL, as in https://bot.example/hooks")?;
        let host = url.host_str().ok_or("expected a URL with a host, as in https://bot.example/hooks")?;
        if url.as_str().len() > MAX_CALLBACK {
            return Err("500 bytes are the most");
        }
        if host.len() > MAX_HOST {
            return Err("a host of 253 characters at most");
        }
        if !has_no_credentials(&url) {
            return Err("no name and no password: messages are signed instead");
        }
        if url.fragment().is_some() {
            return Err("no part behind #, which is sent to nobody");
        }
        let port = url.port_or_known_default();
        let is_named = hosts.0.iter().any(|named| named.host == host && Some(named.port) == port);
        if is_named && matches!(url.scheme(), "http" | "https") {
            return Ok(Self { url, reach: Reach::Anywhere });
        }
        if url.scheme() != "https" {
            return Err("https alone");
        }
        if port != Some(443) {
            return Err("port 443 alone");
        }
        if literal(host).is_some_and(|address| !is_global(address)) {
            return Err(NOT_PUBLIC);
        }
        Ok(Self { url, reach: Reach::Public })
    }

    /// What turns are counted by, whatever the port, besides the subscription's owner.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// The address that a host is, where it is no name. It is connected to without a look-up, so nothing else checks it.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn has_no_credentials(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

pub(super) const NOT_PUBLIC: &str = "an address on the public internet";
/// `event_subscriptions.callback`.
pub(crate) const MAX_CALLBACK: usize = 500;

/// No name is longer (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> WebhookHosts {
        ["bot.lan:8080", "127.0.0.1:9000", "[::1]:9000"].iter().map(|host| host.parse().unwrap()).collect()
    }

    #[test]
    fn an_address_is_public_and_https_unless_the_operator_names_it() {
        let long = format!("https://bot.example/{}", "x".repeat(500));
        let long_host = format!("https://{}example/", "bot.".repeat(62));
        for (text, expected) in [
            ("https://bot.example/hooks?room=1", Ok(Reach::Public)),
            ("https://bot.example:443/", Ok(Reach::Public)),
            ("https://8.8.8.8/", Ok(Reach::Public)),
            ("https://[2606:4700:4700::1111]/", Ok(Reach::Public)),
            // What it leads to is looked at when it is connected to.
            ("https://localhost/", Ok(Reach::Public)),
            ("http://bot.lan:8080/", Ok(Reach::Anywhere)),
            ("https://BOT.lan:8080/", Ok(Reach::Anywhere)),
            ("http://127.0.0.1:9000/", Ok(Reach::Anywhere)),
            ("http://[::1]:9000/", Ok(Reach::Anywhere)),
            ("http://bot.lan:8081/", Err("https alone")),
            ("https://bot.lan:8081/", Err("port 443 alone")),
            ("ftp://bot.lan:8080/", Err("https alone")),
            ("http://bot.example/", Err("https alone")),
            ("https://bot.example:8443/", Err("port 443 alone")),
            ("https://127.0.0.1/", Err(NOT_PUBLIC)),
            ("https://2130706433/", Err(NOT_PUBLIC)),
            ("https://0x7f.1/", Err(NOT_PUBLIC)),
            ("https://0177.0.0.1/", Err(NOT_PUBLIC)),
            ("https://169.254.169.254/latest/meta-data", Err(NOT_PUBLIC)),
            ("https://[::1]/", Err(NOT_PUBLIC)),
            ("https://[::ffff:10.0.0.1]/", Err(NOT_PUBLIC)),
            ("https://ana:secret@bot.example/", Err("no name and no password: messages are signed instead")),
            ("https://ana@bot.example/", Err("no name and no password: messages are signed instead")),
            ("https://bot.example/#x", Err("no part behind #, which is sent to nobody")),
            ("https://bot.example/a b", Err("no spaces and no control characters")),
            ("https://bot\t.example/", Err("no spaces and no control characters")),
            ("bot.example", Err("expected a URL, as in https://bot.example/hooks")),
            ("https://", Err("expected a URL, as in https://bot.example/hooks")),
            ("mailto:ana@bot.example", Err("expected a URL with a host, as in https://bot.example/hooks")),
            (long.as_str(), Err("500 bytes are the most")),
            (long_host.as_str(), Err("a host of 253 characters at most")),
        ] {
            assert_eq!(Callback::parse(text, &hosts()).map(|callback| callback.reach), expected, "{text}");
        }
    }

    #[test]
    fn a_host_is_named_with_its_port() {
        for text in [
            "bot.lan",
            "bot.lan:",
            "bot.lan:0",
            "bot.lan:80/x",
            "a@bot.lan:80",
            ":80",
            "bot.lan:80?",
            "b c:80",
        ] {
            assert!(text.parse::<WebhookHost>().is_err(), "{text}");
        }
        assert_eq!("[::1]:80".parse(), Ok(WebhookHost { host: "[::1]".into(), port: 80 }));
    }
}
