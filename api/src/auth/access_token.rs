//! Access tokens: JWTs that live for `JWT_EXPIRES_IN`. The signature alone says whose a token is; whether its session goes
//! on is asked of PostgreSQL with each request that needs a person (`caller.rs`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::refresh_token::Serial;
use super::{AuthError, Issued};
use crate::config::Secrets;
use crate::error::Error;

/// Signs and verifies.
pub(crate) struct AccessTokens {
    encoding: EncodingKey,
    /// The first one is of the key that signs.
    decoding: Vec<DecodingKey>,
    validation: Validation,
    lifetime: Duration,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Who.
    #[serde(rename = "sub")]
    pub(crate) user: Uuid,
    /// The log-in that it came from.
    #[serde(rename = "sid")]
    pub(crate) session: Uuid,
    /// Of the refresh token that was given out with it; tokens of earlier versions do not say.
    #[serde(rename = "srl", default)]
    pub(crate) serial: Option<Serial>,
    iss: String,
    aud: String,
    /// Our kinds of token may be signed by one key; none passes for another.
    typ: String,
    iat: u64,
    exp: u64,
}

impl Claims {
    /// When the token is no longer good.
    pub(crate) fn expires(&self) -> DateTime<Utc> {
        i64::try_from(self.exp).ok().and_then(|at| DateTime::from_timestamp(at, 0)).unwrap_or_default()
    }
}

impl AccessTokens {
    pub(crate) fn new(secrets: &Secrets, lifetime: Duration) -> Self {
        let accepted = std::iter::once(&secrets.jwt).chain(&secrets.other_jwt);
        // HS256 and nothing else, whatever a token's own header asks for.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // One clock signs and verifies.
        validation.leeway = 0;
        Self {
            encoding: EncodingKey::from_secret(secrets.jwt.expose_secret().as_bytes()),
            decoding: accepted
                .map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()))
                .collect(),
            validation,
            lifetime,
        }
    }

    /// An access token for whoever gets `issued`, and the seconds it lasts.
    pub(crate) fn issue(&self, issued: &Issued) -> Result<(String, u64), Error> {
        let (iat, lifetime) = (jsonwebtoken::get_current_timestamp(), self.lifetime.as_secs());
        let claims = Claims {
            user: issued.user,
            session: issued.session,
            serial: Some(issued.serial),
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            typ: KIND.into(),
            iat,
            exp: iat.saturating_add(lifetime),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding);
        token
            .map(|token| (token, lifetime))
            .map_err(|error| Error::Internal(format!("an access token: {error}")))
    }

    /// What a token says, when it is ours and still holds.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        for key in &self.decoding {
            match jsonwebtoken::decode::<Claims>(token, key, &self.validation) {
                Ok(token) if token.claims.typ == KIND => return Ok(token.claims),
                Err(error) if *error.kind() == ErrorKind::ExpiredSignature => {
                    return Err(AuthError::TokenExpired);
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(AuthError::TokenInvalid)
    }
}

const ISSUER: &str = "caudal";
const AUDIENCE: &str = "caudal-api";
const KIND: &str = "access";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::refresh_token::RefreshToken;
    use super::*;

    fn tokens() -> AccessTokens {
        under(SECRET, &[])
    }

    fn under(secret: &str, others: &[&str]) -> AccessTokens {
        let secrets = Secrets {
            jwt: secret.into(),
            other_jwt: others.iter().map(|secret| (*secret).into()).collect(),
            stream_key_pepper: secret.into(),
            stream_key_encryption: Vec::new(),
        };
        AccessTokens::new(&secrets, Duration::from_secs(60))
    }

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_of_the_key_before_is_good_for_as_long_as_that_is_accepted() {
        let issued = Issued {
            token: RefreshToken::Former([0; 32]),
            serial: Serial(3),
            user: Uuid::now_v7(),
            session: Uuid::now_v7(),
            expires_at: chrono::Utc::now(),
        };
        let (token, _) = tokens().issue(&issued).unwrap();
        let new = "another key, another key, another";
        assert!(under(new, &[SECRET]).verify(&token).is_ok());
        assert!(under(new, &[]).verify(&token).is_err());
    }

    fn signed(header: &Header, claims: &serde_json::Value, secret: &str) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    #[test]
    fn a_token_says_who_it_is_for() {
        let issued = Issued {
            token: RefreshToken::Former([0; 32]),
            serial: Serial(3),
            user: Uuid::now_v7(),
            session: Uuid::now_v7(),
            expires_at: chrono::Utc::now(),
        };
        let (token, lifetime) = tokens().issue(&issued).unwrap();
        let claims = tokens().verify(&token).unwrap();
        assert_eq!((claims.user, claims.session, lifetime), (issued.user, issued.session, 60));
        assert_eq!(claims.serial, Some(Serial(3)));
    }

    #[test]
    fn what_is_not_exactly_ours_is_refused() {
        let secret = "0123456789abcdef0123456789abcdef";
        let exp = jsonwebtoken::get_current_timestamp() + 60;
        let good = json!({"sub": Uuid::nil(), "sid": Uuid::nil(), "iss": "caudal", "aud": "caudal-api", "typ": "access", "iat": 1, "exp": exp});
        let with = |key: &str, value: serde_json::Value| {
            let mut claims = good.clone();
            claims[key] = value;
            claims
        };
        assert!(tokens().verify(&signed(&Header::default(), &good, secret)).is_ok());
        for (what, token) in [
            ("another key", signed(&Header::default(), &good, "another key, another key, another")),
            ("another algorithm", signed(&Header::new(Algorithm::HS512), &good, secret)),
            ("another audience", signed(&Header::default(), &with("aud", "caudal-edge".into()), secret)),
            ("another issuer", signed(&Header::default(), &with("iss", "someone".into()), secret)),
            ("another kind", signed(&Header::default(), &with("typ", "playback".into()), secret)),
            (
                "no signature",
                signed(&Header::default(), &good, secret).rsplit_once('.').unwrap().0.to_owned() + ".",
            ),
            ("nonsense", "nonsense".to_owned()),
        ] {
            assert!(matches!(tokens().verify(&token), Err(AuthError::TokenInvalid)), "{what}");
        }
        let late = signed(&Header::default(), &with("exp", json!(exp - 61)), secret);
        assert!(matches!(tokens().verify(&late), Err(AuthError::TokenExpired)));
    }
}
