//! The types of settings' values. What each of them refuses, it refuses with what is expected and an example.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use caudal_api::{Minor, TierPrice, TierPrices};
use caudal_livestream::RenditionName;
use caudal_livestream::admission::LadderRung;
use caudal_transcoder_worker::LadderChoice;
use clap::ValueEnum;
use reqwest::Url;

/// A port; 0 lets the system choose a free one.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "expected a port from 0 to 65535, as in 3000".to_owned())
}

/// An address to bind.
pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an address as in 127.0.0.1, 0.0.0.0 or ::".to_owned())
}

/// A whole number from 1 to `most`.
pub fn count(most: u32) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let count = text.parse().ok().filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| format!("expected a number from 1 to {most}"))
    }
}

/// A number of at most `most`, or none.
pub fn up_to(most: u32) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let count = text.parse().ok().filter(|count| *count <= most);
        count.ok_or_else(|| format!("expected a number from 0 to {most}"))
    }
}

/// A share in whole percent.
pub fn percent(text: &str) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|share| *share <= 100)
        .ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

/// What may be asked for each tier.
#[derive(Clone, Copy, Debug)]
pub struct Prices(pub TierPrices);

impl FromStr for Prices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected all three tiers, each with the least, the usual and the highest price, as in \
             basic=199..499..1999,pro=499..999..4999,premium=999..2499..9999"
                .to_owned()
        };
        let price_of = |tier: &str| {
            let amounts =
                text.split(',').find_map(|part| part.trim().strip_prefix(tier)?.strip_prefix('='))?;
            let mut amounts = amounts.split("..").map(|amount| amount.parse::<i64>().ok().map(Minor));
            let (min, usual, max) = (amounts.next()??, amounts.next()??, amounts.next()??);
            let in_order = Minor(0) < min && min <= usual && usual <= max && amounts.next().is_none();
            in_order.then_some(TierPrice { min, usual, max })
        };
        match (price_of("basic"), price_of("pro"), price_of("premium")) {
            (Some(basic), Some(pro), Some(premium)) if text.split(',').count() == 3 => {
                Ok(Self(TierPrices { basic, pro, premium }))
            }
            _ => Err(expected()),
        }
    }
}

/// A [`Span`] of at most `most`, which itself is written as a span.
pub fn span(most: &'static str) -> impl Fn(&str) -> Result<Span, String> + Clone + Send + Sync + 'static {
    move |text| {
        let span: Span = text.parse()?;
        if most.parse().is_ok_and(|most: Span| span.0 > most.0) {
            return Err(format!("expected at most {most}"));
        }
        Ok(span)
    }
}

/// Like [`span`], and `0s` for none at all.
pub fn span_or_none(
    most: &'static str,
) -> impl Fn(&str) -> Result<Span, String> + Clone + Send + Sync + 'static {
    let span = span(most);
    move |text| if text == "0s" { Ok(Span(Duration::ZERO)) } else { span(text) }
}

/// A name as S3 has it for buckets; other servers allow a few characters more.
pub fn bucket(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (3..=63).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a bucket alone, 3 to 63 letters, digits, dots and dashes, as in my-streams"
            .to_owned())
    }
}

/// A region of S3.
pub fn region(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        Ok(text.to_owned())
    } else {
        Err("expected a region as in us-east-1".to_owned())
    }
}

/// Whom mails are from.
pub fn sender(text: &str) -> Result<String, String> {
    caudal_api::check_sender(text).map(|()| text.to_owned())
}

/// A role of Amazon's or of another server that has such names.
pub fn role_arn(text: &str) -> Result<String, String> {
    let is_arn = text.starts_with("arn:") && text.split(':').count() >= 6;
    if is_arn && (20..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("expected a role's ARN, as in arn:aws:iam::123456789012:role/caudal-worker".to_owned())
    }
}

/// As long as an STS lets a session hold.
pub fn session(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if (Duration::from_mins(15)..=Duration::from_hours(12)).contains(&span.0) {
        Ok(span)
    } else {
        Err("expected from 15m to 12h".to_owned())
    }
}

/// A length of time, as in `30s`, `15m`, `1h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a number and a unit (s, m, h or d), as in 30s or 7d".to_owned();
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(expected()),
        };
        let seconds = number.saturating_mul(seconds);
        if seconds == 0 {
            return Err("expected more than nothing".to_owned());
        }
        if seconds > MAX_SPAN_SECONDS {
            return Err("expected at most 3650d".to_owned());
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

/// Bits a second, as in `800k` or `50M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitRate(pub u64);

impl FromStr for BitRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected bits a second between 100k and 1000M, as in 50M".to_owned();
        let (number, factor) = match text.strip_suffix('M') {
            Some(number) => (number, 1_000_000),
            None => match text.strip_suffix('k') {
                Some(number) => (number, 1_000),
                None => (text, 1),
            },
        };
        let number: u64 = number.parse().map_err(|_| expected())?;
        number
            .checked_mul(factor)
            .filter(|bits| (100_000..=1_000_000_000).contains(bits))
            .map(Self)
            .ok_or_else(expected)
    }
}

/// A URL of one of `schemes` with a host and, besides a path, nothing else: a name and password would be shown to everybody,
/// and what Caudal appends would end up behind a query.
fn parsed_url(text: &str, schemes: &[&str], expected: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    let host = url.host_str().is_some_and(|host| !host.is_empty());
    if !schemes.contains(&url.scheme()) || !host || text.chars().any(char::is_whitespace) {
        return Err(expected.to_owned());
    }
    if url.port() == Some(0) {
        return Err(format!("port 0 cannot be reached; {expected}"));
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(format!("{expected}, without a query, a fragment, a user or a password"));
    }
    Ok(url)
}

/// An `http` or `https` URL, which may have a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = parsed_url(text, &["http", "https"], "expected a URL as in https://example.org")?;
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

/// The URL of a listener for Caudal's own parts, which speak plain HTTP to each other.
pub fn internal_url(text: &str) -> Result<HttpUrl, String> {
    let expected = "expected a URL as in http://10.0.0.7:3001";
    let url = parsed_url(text, &["http"], expected)?;
    if url.path() != "/" {
        return Err(format!("{expected}, without a path"));
    }
    Ok(HttpUrl(url.as_str().trim_end_matches('/').to_owned()))
}

/// Scheme, host and port, written as browsers write the `Origin` header: lower case, no default port, no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// The origin, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected scheme, host and port as in https://example.org:3000";
        let url = parsed_url(text, &["http", "https"], expected)?;
        if url.path() != "/" {
            return Err(format!("{expected}, without a path"));
        }
        Ok(Self(url.origin().ascii_serialization()))
    }
}

/// An `rtmp` or `rtmps` URL with the app that encoders connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtmpUrl(Url);

impl RtmpUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The same place under TLS, at `port`; the URL itself if it is under TLS already.
    pub fn under_tls(&self, port: u16) -> String {
        match (self.0.scheme(), self.0.host_str()) {
            ("rtmp", Some(host)) => format!("rtmps://{host}:{port}{}", self.0.path().trim_end_matches('/')),
            _ => self.as_str().to_owned(),
        }
    }
}

impl RtmpUrl {
    /// Its name or address, an IPv6 one without brackets.
    pub fn host(&self) -> String {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
    }

    /// Its port, or the one that encoders take by default.
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(if self.is_under_tls() { 443 } else { 1935 })
    }

    /// Whether it is RTMPS.
    pub fn is_under_tls(&self) -> bool {
        self.0.scheme() == "rtmps"
    }
}

impl FromStr for RtmpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a URL as in rtmp://example.org/live";
        let url = parsed_url(text, &["rtmp", "rtmps"], expected)?;
        if url.path().trim_matches('/').is_empty() {
            return Err(format!("{expected}, with a path"));
        }
        Ok(Self(url))
    }
}

/// `CAUDAL_RTMP_PROBE_URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeUrl {
    /// Nothing is probed.
    Off,
    /// Publishers come in there.
    At(RtmpUrl),
}

impl FromStr for ProbeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

/// `CAUDAL_LADDER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// The qualities below the source, highest first.
    pub rungs: Vec<LadderRung>,
    /// Whether each worker leaves out what its machine has no cores for.
    pub fitting: Fitting,
}

/// What a worker makes of the ladder it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fitting {
    /// As much as its cores allow.
    Auto,
    /// All of it.
    Full,
}

impl From<Fitting> for LadderChoice {
    fn from(fitting: Fitting) -> Self {
        match fitting {
            Fitting::Auto => Self::Auto,
            Fitting::Full => Self::Full,
        }
    }
}

impl FromStr for Ladder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = rungs();
        match text {
            "none" => Ok(Self { rungs: Vec::new(), fitting: Fitting::Full }),
            "auto" => Ok(Self { rungs: known, fitting: Fitting::Auto }),
            list => {
                let wanted: BTreeSet<&str> = list.split(',').map(str::trim).collect();
                if let Some(unknown) =
                    wanted.iter().find(|name| !known.iter().any(|rung| rung.name.as_str() == **name))
                {
                    return Err(format!(
                        "{unknown:?} is no quality; expected auto, none, or a list of 720p, 480p, 360p"
                    ));
                }
                let rungs = known.into_iter().filter(|rung| wanted.contains(rung.name.as_str())).collect();
                Ok(Self { rungs, fitting: Fitting::Full })
            }
        }
    }
}

/// The rungs that ffmpeg makes, highest first.
fn rungs() -> Vec<LadderRung> {
    [("720p", 720, 2_500_000), ("480p", 480, 1_200_000), ("360p", 360, 600_000)]
        .into_iter()
        .filter_map(|(name, height, bitrate)| {
            Some(LadderRung { name: RenditionName::from_str(name).ok()?, height, bitrate })
        })
        .collect()
}

/// Ten years: beyond any of these, and far from overflow.
const MAX_SPAN_SECONDS: u64 = 3650 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_of_all_three_tiers_and_in_order() {
        for (text, is_good) in [
            ("basic=199..499..1999,pro=499..999..4999,premium=999..2499..9999", true),
            (" premium=1..1..1, basic=1..1..1,pro=1..1..1", true),
            ("basic=199..499..1999,pro=499..999..4999", false),
            ("basic=0..499..1999,pro=1..1..1,premium=1..1..1", false),
            ("basic=500..499..1999,pro=1..1..1,premium=1..1..1", false),
            ("basic=1..2,pro=1..1..1,premium=1..1..1", false),
            ("basic=1..2..3..4,pro=1..1..1,premium=1..1..1", false),
            ("basic=1..2..3,pro=1..1..1,premium=1..1..1,gold=1..1..1", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Prices>().is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn roles_and_sessions_are_what_an_sts_takes() {
        for (text, is_role) in [
            ("arn:aws:iam::123456789012:role/caudal-worker", true),
            ("arn:aws-cn:iam::123456789012:role/media/worker", true),
            ("arn:minio:iam:::role/caudal", true),
            ("caudal-worker", false),
            ("arn:aws:iam", false),
            ("arn:aws:iam::123456789012:role/a b", false),
        ] {
            assert_eq!(role_arn(text).is_ok(), is_role, "{text}");
        }
        for (text, fits) in [("14m", false), ("15m", true), ("1h", true), ("12h", true), ("13h", false)] {
            assert_eq!(session(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        assert_eq!("30s".parse(), Ok(Span(Duration::from_secs(30))));
        assert_eq!("7d".parse(), Ok(Span(Duration::from_secs(7 * 86_400))));
        for wrong in ["", "30", "s", "0s", "-1s", "1w", "99999999999999999999s", "4000d", "1.5h"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bit_rate_has_a_floor_and_a_ceiling() {
        assert_eq!("50M".parse(), Ok(BitRate(50_000_000)));
        assert_eq!("800k".parse(), Ok(BitRate(800_000)));
        for wrong in ["", "M", "1", "2000M", "5G"] {
            assert!(wrong.parse::<BitRate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_ladder_is_ordered_from_the_top_whatever_the_order_it_was_named_in() {
        let ladder: Ladder = "360p, 720p".parse().unwrap();
        assert_eq!(ladder.rungs.iter().map(|rung| rung.height).collect::<Vec<_>>(), [720, 360]);
        assert_eq!(ladder.fitting, Fitting::Full);
        assert!("1080p".parse::<Ladder>().unwrap_err().contains("1080p"));
        assert!("none".parse::<Ladder>().unwrap().rungs.is_empty());
        assert_eq!("auto".parse::<Ladder>().unwrap().fitting, Fitting::Auto);
    }

    #[test]
    fn a_span_may_be_none_at_all_where_its_setting_says_so() {
        assert_eq!(span_or_none("10m")("0s"), Ok(Span(Duration::ZERO)));
        assert_eq!(span_or_none("10m")("15s"), Ok(Span(Duration::from_secs(15))));
        assert!(span_or_none("10m")("11m").is_err());
        assert!(span("10m")("0s").is_err());
    }

    #[test]
    fn a_span_has_the_most_that_its_setting_allows() {
        let reconnect = span("1d");
        assert_eq!(reconnect("24h"), Ok(Span(Duration::from_secs(86_400))));
        assert_eq!(reconnect("25h").unwrap_err(), "expected at most 1d");
        assert!(reconnect("100y").unwrap_err().contains("as in 30s"));
    }

    #[test]
    fn a_url_that_could_not_be_shown_or_appended_to_is_refused() {
        assert_eq!("https://a.example/".parse::<HttpUrl>().unwrap().as_str(), "https://a.example");
        assert_eq!("https://a.example/cdn/".parse::<HttpUrl>().unwrap().as_str(), "https://a.example/cdn");
        for wrong in [
            "rtmp://a.example",
            "localhost",
            "localhost:3000",
            "http://",
            "https://a.example?x=1",
            "https://a.example/#x",
            "https://user:secret@a.example",
            "https://a.example:0",
            "https://a .example",
            "",
        ] {
            assert!(wrong.parse::<HttpUrl>().is_err(), "{wrong}");
        }
        assert!("rtmp://a.example/live".parse::<RtmpUrl>().is_ok());
        assert_eq!("none".parse(), Ok(ProbeUrl::Off));
        assert!("".parse::<ProbeUrl>().is_err() && "off".parse::<ProbeUrl>().is_err());
        for (url, host, port, tls) in [
            ("rtmp://a.example/live", "a.example", 1935, false),
            ("rtmps://a.example/live", "a.example", 443, true),
            ("rtmps://a.example:1936/live", "a.example", 1936, true),
            ("rtmp://[::1]:5005/live", "::1", 5005, false),
        ] {
            let Ok(ProbeUrl::At(url)) = url.parse() else { panic!("{url}") };
            assert_eq!((url.host().as_str(), url.port(), url.is_under_tls()), (host, port, tls));
        }
        for wrong in
            ["rtmp://a.example", "rtmp://a.example/", "http://a.example/live", "rtmp://a.example/live?key=1"]
        {
            assert!(wrong.parse::<RtmpUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (given, origin) in [
            ("https://A.Example:443/", "https://a.example"),
            ("http://localhost:5173", "http://localhost:5173"),
        ] {
            assert_eq!(given.parse::<WebOrigin>().unwrap().as_str(), origin);
        }
        for wrong in ["*", "https://a.example/app", "a.example", "null"] {
            assert!(wrong.parse::<WebOrigin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nought_and_too_many_are_refused() {
        assert_eq!(count(10)("10"), Ok(10));
        for wrong in ["0", "11", "-1", "1.5", "", "many", "99999999999999999999"] {
            assert_eq!(count(10)(wrong).unwrap_err(), "expected a number from 1 to 10", "{wrong}");
        }
    }
}
