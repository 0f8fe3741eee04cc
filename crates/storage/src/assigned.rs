//! Credentials that a process is given while it runs, and changes under its S3 client's hands.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use caudal_livestream::UnixMillis;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::watch;

use crate::sealing::StreamCredentials;

/// What an S3 client signs with from now on. All clones are one. Requests that are under way keep what they were signed with, so a
/// change interrupts none.
#[derive(Clone)]
pub struct AssignedCredentials(Arc<watch::Sender<Option<Current>>>);

struct Current {
    credential: Arc<AwsCredential>,
    expires: UnixMillis,
}

/// Whether new credentials took the place of the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// They did.
    Yes,
    /// The ones before hold as long, or longer.
    NotNewer,
}

impl AssignedCredentials {
    /// None yet: every request fails until there are some.
    pub fn none() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Signs with these from now on, if they hold longer than the ones before.
    pub fn take(&self, credentials: StreamCredentials) -> Renewed {
        let StreamCredentials { access_key_id, secret_access_key, session_token, expires } = credentials;
        let taken = self.0.send_if_modified(|current| {
            if current.as_ref().is_some_and(|current| current.expires >= expires) {
                return false;
            }
            let credential = AwsCredential {
                key_id: access_key_id,
                secret_key: secret_access_key,
                token: Some(session_token),
            };
            *current = Some(Current { credential: Arc::new(credential), expires });
            true
        });
        if taken { Renewed::Yes } else { Renewed::NotNewer }
    }

    /// Until when the storage takes the present ones; none before there are any.
    pub fn expires(&self) -> Option<UnixMillis> {
        self.0.borrow().as_ref().map(|current| current.expires)
    }

    /// Returns when others have taken their place.
    pub async fn changed(&self, since: Option<UnixMillis>) {
        let mut changes = self.0.subscribe();
        // The sender is ours, so this cannot fail.
        let _ = changes.wait_for(|current| current.as_ref().map(|current| current.expires) != since).await;
    }
}

impl fmt::Debug for AssignedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssignedCredentials(***, expires: {:?})", self.expires())
    }
}

impl CredentialProvider for AssignedCredentials {
    type Credential = AwsCredential;

    // As `async_trait` would write it.
    fn get_credential<'this, 'future>(
        &'this self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        let current = self.0.borrow().as_ref().map(|current| Arc::clone(&current.credential));
        Box::pin(async move {
            current.ok_or_else(|| object_store::Error::Generic {
                store: "S3",
                source: "no storage credentials have come with an assignment yet".into(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(expires: i64) -> StreamCredentials {
        StreamCredentials {
            access_key_id: format!("id-{expires}"),
            secret_access_key: "secret".to_owned(),
            session_token: "token".to_owned(),
            expires: UnixMillis(expires),
        }
    }

    #[tokio::test]
    async fn requests_are_signed_with_the_credentials_that_hold_longest() {
        let assigned = AssignedCredentials::none();
        assert!(assigned.get_credential().await.is_err(), "there are none yet");
        for (given, taken, signs_with) in [
            (10, Renewed::Yes, "id-10"),
            (10, Renewed::NotNewer, "id-10"),
            (20, Renewed::Yes, "id-20"),
            // An order that was overtaken, or is sent once more by somebody who has seen it.
            (15, Renewed::NotNewer, "id-20"),
        ] {
            assert_eq!(assigned.take(until(given)), taken, "{given}");
            assert_eq!(assigned.get_credential().await.unwrap().key_id, signs_with);
        }
        assert_eq!(assigned.expires(), Some(UnixMillis(20)));
        assert!(!format!("{assigned:?}").contains("secret"));
    }
}
