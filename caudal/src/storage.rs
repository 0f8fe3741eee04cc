//! Where segments go: the settings of it, for every role that reads or writes them.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use caudal_service::secret;
use caudal_storage::{AssignedCredentials, S3Access, S3Config, S3Credentials, SegmentStore};
use clap::Args;
use secrecy::ExposeSecret as _;

use crate::settings::{FILES, Given, HttpUrl, bucket, region};

/// Where segments go.
#[derive(Args, Clone, Debug)]
pub struct StorageSettings {
    /// The folder for segments; any file server can serve it.
    #[arg(long, env = "HLS_PATH", value_name = "FOLDER", help_heading = FILES)]
    pub hls_path: Option<PathBuf>,
    /// An S3 bucket for segments, instead of the folder.
    #[arg(long, env = "AWS_S3_BUCKET", value_parser = bucket, value_name = "NAME", help_heading = FILES)]
    pub s3_bucket: Option<String>,
    /// The bucket's region.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1", value_parser = region, value_name = "NAME", help_heading = FILES)]
    pub s3_region: String,
    /// An S3-speaking server other than Amazon's.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", help_heading = FILES)]
    pub s3_endpoint: Option<HttpUrl>,
}

impl StorageSettings {
    /// The bucket if one is named, else the folder.
    ///
    /// # Errors
    /// When neither is named, or what is named cannot be used.
    pub fn open(&self, given: &Given) -> anyhow::Result<SegmentStore> {
        if let Some(bucket) = self.bucket()? {
            return Ok(SegmentStore::s3(&bucket)?);
        }
        let folder =
            self.hls_path.as_ref().context("HLS_PATH: expected a folder for segments, or AWS_S3_BUCKET")?;
        SegmentStore::folder(folder).with_context(|| given.name("HLS_PATH"))
    }

    /// The bucket, opened with credentials that come later.
    ///
    /// # Errors
    /// When none is named, or what is named cannot be used.
    pub fn open_with(&self, credentials: AssignedCredentials) -> anyhow::Result<SegmentStore> {
        let bucket = self.bucket_with(S3Access::Assigned(credentials));
        let bucket =
            bucket.context("AWS_S3_BUCKET is not set: expected the bucket that assigned credentials open")?;
        Ok(SegmentStore::s3(&bucket)?)
    }

    /// The bucket, opened with this process's own credentials; none where segments go to a folder.
    ///
    /// # Errors
    /// When the credentials cannot be read.
    pub fn bucket(&self) -> anyhow::Result<Option<S3Config>> {
        if self.s3_bucket.is_none() {
            return Ok(None);
        }
        let pair = (secret::read("AWS_ACCESS_KEY_ID")?, secret::read("AWS_SECRET_ACCESS_KEY")?);
        let session_token = secret::read("AWS_SESSION_TOKEN")?;
        let access = match pair {
            (Some(id), Some(key)) => S3Access::Keys(S3Credentials {
                access_key_id: id.expose_secret().to_owned(),
                secret_access_key: key.expose_secret().to_owned(),
                session_token: session_token.map(|token| token.expose_secret().to_owned()),
            }),
            // Whatever the AWS tools would find: web identity, instance metadata.
            (None, None) => S3Access::Environment,
            _ => bail!("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together; one of them is not set"),
        };
        Ok(self.bucket_with(access))
    }

    fn bucket_with(&self, access: S3Access) -> Option<S3Config> {
        let endpoint = self.s3_endpoint.as_ref().map(|url| url.as_str().to_owned());
        let allow_http = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
        let (bucket, region) = (self.s3_bucket.clone()?, self.s3_region.clone());
        Some(S3Config { bucket, region, endpoint, allow_http, access })
    }
}
