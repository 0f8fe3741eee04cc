//! What an STS answers to AssumeRole: XML, of a success and of a refusal.

use caudal_livestream::UnixMillis;
use serde::Deserialize;

use super::RoleSessionError;
use crate::sealing::StreamCredentials;

#[derive(Deserialize)]
struct Success {
    #[serde(rename = "AssumeRoleResult")]
    result: AssumeRoleResult,
}

#[derive(Deserialize)]
struct AssumeRoleResult {
    #[serde(rename = "Credentials")]
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "Error")]
    error: Fault,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
}

/// The credentials in the answer, which was asked for at `issued`.
pub(super) fn success(body: &[u8], issued: UnixMillis) -> Result<StreamCredentials, RoleSessionError> {
    let unreadable = |what: &str| RoleSessionError::Unreadable(what.to_owned());
    let text = std::str::from_utf8(body).map_err(|_| unreadable("not UTF-8"))?;
    // The parser's own words may quote the answer, which holds secrets.
    let answer: Success = quick_xml::de::from_str(text).map_err(|_| unreadable("no AssumeRoleResult"))?;
    let Credentials { access_key_id, secret_access_key, session_token, expiration } =
        answer.result.credentials;
    let expires = chrono::DateTime::parse_from_rfc3339(expiration.trim());
    let expires = expires.map_err(|_| unreadable("Expiration is no time"))?;
    let credentials = StreamCredentials {
        access_key_id,
        secret_access_key,
        session_token,
        issued,
        expires: UnixMillis(expires.timestamp_millis()),
    };
    if !credentials.are_well_formed() {
        return Err(unreadable("the credentials hold what no header can carry"));
    }
    Ok(credentials)
}

/// Why the STS refused.
pub(super) fn failure(status: u16, body: &[u8]) -> RoleSessionError {
    let parsed = std::str::from_utf8(body).ok().and_then(|text| quick_xml::de::from_str(text).ok());
    let (code, message) = match parsed {
        Some(Failure { error: Fault { code, message } }) => (code, message),
        None => (String::new(), String::new()),
    };
    let code: String =
        code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').take(LONGEST_CODE).collect();
    let code = if code.is_empty() { format!("HTTP {status}") } else { code };
    let message: String = message.trim().chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect();
    RoleSessionError::Refused { code, message }
}

/// `RegionDisabledException` has 23.
const LONGEST_CODE: usize = 64;
/// A sentence with two ARNs.
const LONGEST_MESSAGE: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(expiration: &str, id: &str, token: &str) -> String {
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <AssumeRoleResult>\n    \
             <Credentials><SessionToken>{token}</SessionToken><SecretAccessKey>s/e+c</SecretAccessKey>\
             <Expiration>{expiration}</Expiration><AccessKeyId>{id}</AccessKeyId></Credentials>\
             <AssumedRoleUser><Arn>a</Arn><AssumedRoleId>b</AssumedRoleId></AssumedRoleUser>\
             <PackedPolicySize>6</PackedPolicySize></AssumeRoleResult>\
             <ResponseMetadata><RequestId>c</RequestId></ResponseMetadata></AssumeRoleResponse>"
        )
    }

    #[test]
    fn credentials_are_read_from_what_sts_servers_answer() {
        for (expiration, millis) in [
            ("2026-11-28T19:00:00Z", 1_795_892_400_000),
            ("2026-11-28T19:00:00.250Z", 1_795_892_400_250),
            ("2026-11-28T20:00:00+01:00", 1_795_892_400_000),
        ] {
            let read = success(answer(expiration, "ASIA1", "to/ken=").as_bytes(), UnixMillis(7)).unwrap();
            assert_eq!((read.issued, read.expires), (UnixMillis(7), UnixMillis(millis)), "{expiration}");
            assert_eq!((read.access_key_id.as_str(), read.session_token.as_str()), ("ASIA1", "to/ken="));
            assert_eq!(read.secret_access_key, "s/e+c");
        }
    }

    #[test]
    fn an_answer_without_usable_credentials_is_refused_and_never_quoted() {
        let whole = answer("2026-11-28T19:00:00Z", "ASIA1", "SECRETTOKEN");
        for body in [
            "",
            "<html>It works!</html>",
            whole.get(..200).unwrap(),
            &whole.replace("<SessionToken>SECRETTOKEN</SessionToken>", ""),
            &whole.replace("2026-11-28T19:00:00Z", "tomorrow"),
            &whole.replace("SECRETTOKEN", ""),
            &whole.replace("SECRETTOKEN", "SECRET\u{fc}TOKEN"),
        ] {
            let error = success(body.as_bytes(), UnixMillis(7)).unwrap_err();
            assert!(matches!(error, RoleSessionError::Unreadable(_)), "{body}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn a_refusal_is_said_by_its_code_and_its_message() {
        let aws = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                   <Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/o is not authorized\n</Message></Error>\
                   <RequestId>x</RequestId></ErrorResponse>";
        let refused = failure(403, aws.as_bytes());
        assert_eq!(refused.to_string(), "AccessDenied: User: arn:aws:iam::1:user/o is not authorized");
        assert_eq!(refused.in_short(), "AccessDenied");
        for body in ["", "Bad Gateway", "<Error><Code>\u{1b}[31m</Code></Error>"] {
            assert_eq!(failure(502, body.as_bytes()).in_short(), "HTTP 502", "{body}");
        }
        let long = failure(400, aws.replace("AccessDenied", &"A".repeat(9_000)).as_bytes());
        assert_eq!(long.in_short().len(), LONGEST_CODE);
    }

    proptest! {
        #[test]
        fn whatever_is_answered_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = success(&body, UnixMillis(7));
            let _ = failure(400, &body);
        }

        #[test]
        fn a_broken_answer_gives_no_credentials(cut in 0_usize..500) {
            let whole = answer("2026-11-28T19:00:00Z", "ASIA1", "token");
            // The last elements may be missing; then the end tags are, too.
            let cut = cut.min(whole.len().saturating_sub(1));
            prop_assert!(success(&whole.as_bytes()[..cut], UnixMillis(7)).is_err());
        }
    }
}
