//! Where an S3 bucket is, and how it is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::assigned::AssignedCredentials;

/// Where an S3 bucket is. What is not said here comes from the environment as the AWS tools read it: credentials,
/// web identity, instance metadata.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// `AWS_S3_BUCKET`.
    pub bucket: String,
    /// `AWS_REGION`.
    pub region: String,
    /// Another server that speaks S3; none means AWS.
    pub endpoint: Option<String>,
    /// Lets `endpoint` be plain HTTP.
    pub allow_http: bool,
    /// What opens it.
    pub access: S3Access,
}

/// What a bucket is opened with.
#[derive(Clone, Debug)]
pub enum S3Access {
    /// What the environment holds.
    Environment,
    /// This key pair.
    Keys(S3Credentials),
    /// What the process is given later on.
    Assigned(AssignedCredentials),
}

/// A key pair.
#[derive(Clone)]
pub struct S3Credentials {
    /// Its public half.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
    /// What comes with keys that hold for some hours only.
    pub session_token: Option<String>,
}

/// A client of the bucket, with everything but its first connection.
pub(crate) fn s3_builder(config: &S3Config) -> AmazonS3Builder {
    let client = ClientOptions::new().with_connect_timeout(CONNECT_DEADLINE).with_timeout(ATTEMPT_DEADLINE);
    let mut builder = AmazonS3Builder::from_env()
        .with_client_options(client)
        .with_allow_http(config.allow_http)
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: 5,
            retry_timeout: RETRY_WINDOW,
        });
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    match &config.access {
        S3Access::Environment => builder,
        S3Access::Keys(S3Credentials { access_key_id, secret_access_key, session_token }) => {
            builder = builder.with_access_key_id(access_key_id).with_secret_access_key(secret_access_key);
            match session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        S3Access::Assigned(credentials) => builder.with_credentials(Arc::new(credentials.clone())),
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials(***)")
    }
}

/// S3 in the same region takes tens of milliseconds; a connection that takes longer is better tried anew.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// One attempt: the largest usual segment (12 s at 8 Mb/s, 12 MB) at 2 MB/s.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(6);
/// No attempt begins later than this. Below the store's deadline by one attempt, so that an answer under way still counts.
const RETRY_WINDOW: Duration = Duration::from_secs(10);
