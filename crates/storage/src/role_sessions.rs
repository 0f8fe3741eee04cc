//! Credentials for one stream's objects: AssumeRole of an STS with a session policy (Amazon's, MinIO's, another one's).

mod answer;
mod policy;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use caudal_livestream::{StreamId, UnixMillis};
use futures::StreamExt as _;
use http::{Method, StatusCode, header};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, HttpResponseBody, ReqwestConnector,
};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::bucket::{S3Config, s3_builder};
use crate::sealing::StreamCredentials;
use crate::store::OpenError;

/// Whom to become, and where to ask for that.
#[derive(Clone, Debug)]
pub struct RoleConfig {
    /// The role's ARN. MinIO takes any, and gives the session what the caller itself may do.
    pub role_arn: String,
    /// How long a session holds, in whole seconds.
    pub duration: Duration,
    /// The STS. None means the bucket's own endpoint if it has one, as MinIO's is, else Amazon's in `region`.
    pub endpoint: Option<String>,
    /// The region that requests are signed for; none means the bucket's.
    pub region: Option<String>,
}

/// What a session is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A worker that has none; a broadcast waits for it.
    First,
    /// A worker whose session holds for a while yet.
    Renewal,
}

/// Makes sessions of a role. Cheap to clone; all clones share connections, and a limit of requests at a time.
#[derive(Clone, Debug)]
pub struct RoleSessions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    role_arn: String,
    duration: Duration,
    endpoint: String,
    region: String,
    bucket: String,
    own: AwsCredentialProvider,
    http: HttpClient,
    /// Of their own, because renewals may all wait for a slow STS, and nobody else is to wait for those.
    first_places: Semaphore,
    renewal_places: Semaphore,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RoleSessionError {
    /// The STS said no.
    #[error("{code}{}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// Its word for why, as in `AccessDenied`.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// It was not heard, or the request could not be signed.
    #[error("the STS cannot be asked: {0}")]
    Unreachable(String),
    /// It was heard too late.
    #[error("the STS did not answer within {DEADLINE:?}")]
    Deadline,
    /// It answered something else than credentials.
    #[error("the STS's answer cannot be read: {0}")]
    Unreadable(String),
}

impl RoleSessionError {
    /// For people who have nothing to do with the storage: without names of accounts and roles.
    pub fn in_short(&self) -> String {
        match self {
            Self::Refused { code, .. } => code.clone(),
            Self::Unreachable(_) => "the STS cannot be reached".to_owned(),
            Self::Deadline => "the STS does not answer".to_owned(),
            Self::Unreadable(_) => "the STS gives no usable answer".to_owned(),
        }
    }
}

impl RoleSessions {
    /// Of the role, for streams in `bucket`, asked with the credentials that open `bucket`. Opens no connection yet.
    ///
    /// # Errors
    /// [`OpenError::Settings`] when the settings cannot be right.
    pub fn new(bucket: &S3Config, role: RoleConfig) -> Result<Self, OpenError> {
        let region = role.region.unwrap_or_else(|| bucket.region.clone());
        let endpoint = role.endpoint.or_else(|| bucket.endpoint.clone());
        let endpoint = endpoint.unwrap_or_else(|| amazons(&role.role_arn, &region));
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT_DEADLINE)
            .with_timeout(DEADLINE)
            .with_allow_http(endpoint.starts_with("http://"));
        let shared = Shared {
            http: ReqwestConnector::default().connect(&options)?,
            own: Arc::clone(s3_builder(bucket).build()?.credentials()),
            bucket: bucket.bucket.clone(),
            role_arn: role.role_arn,
            duration: role.duration,
            endpoint,
            region,
            first_places: Semaphore::new(FIRST_AT_ONCE),
            renewal_places: Semaphore::new(RENEWALS_AT_ONCE),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How long a session was asked to hold.
    pub fn duration(&self) -> Duration {
        self.shared.duration
    }

    /// The policy of such a session, as JSON: what a worker of `stream` does, and nothing else.
    pub fn policy(&self, stream: StreamId) -> String {
        policy::session_policy(&self.shared.role_arn, &self.shared.bucket, stream)
    }

    /// A new session that opens `stream`'s objects alone. Tried once: the caller knows when to ask again.
    ///
    /// # Errors
    /// [`RoleSessionError`].
    pub async fn of(&self, stream: StreamId, need: Need) -> Result<StreamCredentials, RoleSessionError> {
        // Never closed. Who waits here is a stream's task, and there are as many of those as streams.
        let places = match need {
            Need::First => &self.shared.first_places,
            Need::Renewal => &self.shared.renewal_places,
        };
        let _place = places.acquire().await;
        timeout(DEADLINE, self.shared.assume(stream)).await.map_err(|_| RoleSessionError::Deadline)?
    }
}

impl Shared {
    async fn assume(&self, stream: StreamId) -> Result<StreamCredentials, RoleSessionError> {
        let unreachable = |error: &dyn std::error::Error| RoleSessionError::Unreachable(with_causes(error));
        let own = self.own.get_credential().await.map_err(|error| unreachable(&error))?;
        let body = HttpRequestBody::from(self.form(stream));
        let mut request: HttpRequest = http::Request::builder()
            .method(Method::POST)
            .uri(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
            .body(body)
            .map_err(|error| unreachable(&error))?;
        AwsAuthorizer::new(&own, "sts", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| unreachable(&error))?;
        let issued = now();
        let response = self.http.execute(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let body = whole(body).await?;
        if head.status == StatusCode::OK {
            answer::success(&body, issued)
        } else {
            Err(answer::failure(head.status.as_u16(), &body))
        }
    }

    fn form(&self, stream: StreamId) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRole")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", &self.role_arn)
            .append_pair("RoleSessionName", &format!("caudal-{stream}"))
            .append_pair("DurationSeconds", &self.duration.as_secs().to_string())
            .append_pair("Policy", &policy::session_policy(&self.role_arn, &self.bucket, stream))
            .finish()
    }
}

/// The body, where it is no longer than an answer of an STS.
async fn whole(body: HttpResponseBody) -> Result<Bytes, RoleSessionError> {
    let mut read = Vec::new();
    let mut pieces = body.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| RoleSessionError::Unreachable(with_causes(&error)))?;
        if read.len().saturating_add(piece.len()) > LONGEST_ANSWER {
            return Err(RoleSessionError::Unreadable(format!("it is over {LONGEST_ANSWER} bytes")));
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.into())
}

fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// Amazon's STS of a region.
fn amazons(role_arn: &str, region: &str) -> String {
    let domain = if policy::partition(role_arn) == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://sts.{region}.{domain}")
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.contains(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        cause = error.source();
    }
    words
}

const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// One request, with reading the operator's own credentials. Amazon's takes some 0.1 s, and a new worker waits for it.
const DEADLINE: Duration = Duration::from_secs(8);
/// Amazon lets an account make 600 a second; each takes a tenth of one.
const FIRST_AT_ONCE: usize = 20;
/// 120 a second, for as many broadcasts as a leader that takes over renews in its first minute: 7,200.
const RENEWALS_AT_ONCE: usize = 12;
/// A success is about 3 kB.
const LONGEST_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{S3Access, S3Credentials};

    fn sessions(bucket_endpoint: Option<&str>, role: RoleConfig) -> RoleSessions {
        let bucket = S3Config {
            bucket: "media".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: bucket_endpoint.map(str::to_owned),
            allow_http: true,
            access: S3Access::Keys(S3Credentials {
                access_key_id: "id".to_owned(),
                secret_access_key: "secret".to_owned(),
                session_token: None,
            }),
        };
        RoleSessions::new(&bucket, role).unwrap()
    }

    fn role() -> RoleConfig {
        RoleConfig {
            role_arn: "arn:aws:iam::123456789012:role/caudal-worker".to_owned(),
            duration: Duration::from_hours(1),
            endpoint: None,
            region: None,
        }
    }

    #[test]
    fn an_sts_is_found_where_the_bucket_is_unless_it_is_named() {
        let cn = RoleConfig { role_arn: "arn:aws-cn:iam::1:role/w".to_owned(), ..role() };
        let named = RoleConfig { endpoint: Some("https://sts.example".to_owned()), ..role() };
        let elsewhere = RoleConfig { region: Some("us-east-1".to_owned()), ..role() };
        for (bucket, role, endpoint, region) in [
            (None, role(), "https://sts.eu-west-1.amazonaws.com", "eu-west-1"),
            (None, cn, "https://sts.eu-west-1.amazonaws.com.cn", "eu-west-1"),
            (Some("http://minio:9000"), role(), "http://minio:9000", "eu-west-1"),
            (Some("http://minio:9000"), named, "https://sts.example", "eu-west-1"),
            (None, elsewhere, "https://sts.us-east-1.amazonaws.com", "us-east-1"),
        ] {
            let sessions = sessions(bucket, role);
            assert_eq!(
                (sessions.shared.endpoint.as_str(), sessions.shared.region.as_str()),
                (endpoint, region)
            );
        }
    }

    #[test]
    fn a_request_names_role_session_and_duration_and_carries_the_policy() {
        let stream = StreamId::generate();
        let form = sessions(None, role()).shared.form(stream);
        let sent: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let policy = policy::session_policy(&role().role_arn, "media", stream);
        for (name, value) in [
            ("Action", "AssumeRole"),
            ("RoleArn", role().role_arn.as_str()),
            ("RoleSessionName", &format!("caudal-{stream}")),
            ("DurationSeconds", "3600"),
            ("Policy", &policy),
        ] {
            assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{name}");
        }
        assert!(sent.iter().all(|(name, value)| name != "RoleSessionName" || value.len() <= 64));
    }
}
