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
    issued: UnixMillis,
    expires: UnixMillis,
}

/// Whether new credentials took the place of the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// They did.
    Yes,
    /// The ones before are the same, or were made later.
    NotNewer,
}

impl AssignedCredentials {
    /// None yet: every request fails until there are some.
    pub fn none() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Signs with these from now on, if they were made later than the ones before: those may have been revoked, however long they
    /// would hold. Where one of the two does not say when it was made, the one that holds longer is the later one.
    pub fn take(&self, credentials: StreamCredentials) -> Renewed {
        let StreamCredentials { access_key_id, secret_access_key, session_token, issued, expires } =
            credentials;
        let taken = self.0.send_if_modified(|current| {
            let later = current.as_ref().is_none_or(|current| {
                let both_say = [current.issued, issued].iter().all(|said| *said != UnixMillis(0));
                if both_say { issued > current.issued } else { expires > current.expires }
            });
            if !later {
                return false;
            }
            let credential = AwsCredential {
                key_id: access_key_id,
                secret_key: secret_access_key,
                token: Some(session_token),
            };
            *current = Some(Current { credential: Arc::new(credential), issued, expires });
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

    fn made(issued: i64, expires: i64) -> StreamCredentials {
        StreamCredentials {
            access_key_id: format!("id-{issued}"),
            secret_access_key: "secret".to_owned(),
            session_token: "token".to_owned(),
            issued: UnixMillis(issued),
            expires: UnixMillis(expires),
        }
    }

    #[tokio::test]
    async fn requests_are_signed_with_the_credentials_that_were_made_last() {
        let assigned = AssignedCredentials::none();
        assert!(assigned.get_credential().await.is_err(), "there are none yet");
        for (issued, expires, taken, signs_with) in [
            // By an operator of the release before, which does not say when.
            (0, 10, Renewed::Yes, "id-0"),
            (0, 10, Renewed::NotNewer, "id-0"),
            (0, 50, Renewed::Yes, "id-0"),
            (0, 40, Renewed::NotNewer, "id-0"),
            (1, 60, Renewed::Yes, "id-1"),
            (1, 60, Renewed::NotNewer, "id-1"),
            (3, 30, Renewed::Yes, "id-3"),
            // An order that was overtaken, or is sent once more by somebody who has seen it.
            (2, 40, Renewed::NotNewer, "id-3"),
            // The ones before may have been revoked.
            (4, 20, Renewed::Yes, "id-4"),
            // The operator is the release before's again.
            (0, 20, Renewed::NotNewer, "id-4"),
            (0, 30, Renewed::Yes, "id-0"),
            (4, 20, Renewed::NotNewer, "id-0"),
            (5, 35, Renewed::Yes, "id-5"),
        ] {
            assert_eq!(assigned.take(made(issued, expires)), taken, "{issued}");
            assert_eq!(assigned.get_credential().await.unwrap().key_id, signs_with);
        }
        assert_eq!(assigned.expires(), Some(UnixMillis(35)));
        assert!(!format!("{assigned:?}").contains("secret"));
    }
}
