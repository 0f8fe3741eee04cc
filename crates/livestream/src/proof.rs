//! How parts prove to each other who they are.
//!
//! Router and edge hold a role key; for each stream and epoch they show HMAC-SHA-256(role key, stream‖epoch), and the
//! worker holds only digests of those. The controller signs assignments with Ed25519; workers hold its public key.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::assignment::Assignment;
use crate::credentials::CredentialsRenewal;
use crate::{Epoch, InstallationId, StreamId};

/// A role's secret. Hidden in `Debug`.
#[derive(Clone)]
pub struct RoleKey([u8; 32]);

impl RoleKey {
    /// From 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What the role shows a worker of this stream and epoch.
    pub fn proof(&self, stream: StreamId, epoch: Epoch) -> Proof {
        Proof(hex::encode(self.mac(&[stream.0.as_bytes(), &epoch.0.to_be_bytes()])))
    }

    /// Another key, for one purpose of those who have this one. It equals no proof, which is of 20 bytes: this is of more.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        self.mac(&[b"derived for ", purpose.as_bytes()])
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            // HMAC takes keys of any length.
            unreachable!()
        };
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for RoleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoleKey(***)")
    }
}

/// A role's key, and others that it may show itself with while the key is changed. Hidden in `Debug`.
#[derive(Clone, Debug)]
pub struct RoleKeys {
    current: RoleKey,
    others: Vec<RoleKey>,
}

impl RoleKeys {
    /// Of the key in use and the others that are accepted.
    pub fn new(current: RoleKey, others: Vec<RoleKey>) -> Self {
        Self { current, others }
    }

    /// What the role shows a worker of this stream and epoch.
    pub fn proof(&self, stream: StreamId, epoch: Epoch) -> Proof {
        self.current.proof(stream, epoch)
    }

    /// What a worker may know of the others' proofs.
    pub fn other_digests(&self, stream: StreamId, epoch: Epoch) -> Vec<ProofDigest> {
        self.others.iter().map(|key| key.proof(stream, epoch).digest()).collect()
    }
}

impl From<RoleKey> for RoleKeys {
    fn from(current: RoleKey) -> Self {
        Self::new(current, Vec::new())
    }
}

/// The controller's key for assignments, and others that workers were, or will be, assigned with while it is changed. Hidden in
/// `Debug`, but for the public halves.
#[derive(Clone, Debug)]
pub struct AssignmentKeys {
    current: SigningKey,
    others: Vec<VerifyingKey>,
}

impl AssignmentKeys {
    /// Of the key in use and the others that are accepted.
    pub fn new(current: SigningKey, others: Vec<VerifyingKey>) -> Self {
        Self { current, others }
    }

    /// Signs assignments.
    pub fn current(&self) -> &SigningKey {
        &self.current
    }

    /// As which the states of this installation's streams name it: whichever of the keys they were assigned with.
    pub fn installations(&self) -> Vec<InstallationId> {
        let others = self.others.iter().map(InstallationId::of);
        std::iter::once(InstallationId::of(&self.current.verifying_key())).chain(others).collect()
    }
}

impl From<SigningKey> for AssignmentKeys {
    fn from(current: SigningKey) -> Self {
        Self::new(current, Vec::new())
    }
}

/// What a role shows: 64 hex digits. Over HTTP as `Authorization: Bearer {proof}`, over RTMP as `auth=`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(String);

impl Proof {
    /// From what a peer sent.
    pub fn from_peer(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to be sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What a worker may know of it.
    pub fn digest(&self) -> ProofDigest {
        ProofDigest(hex::encode(Sha256::digest(self.0.as_bytes())))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(***)")
    }
}

/// SHA-256 of a [`Proof`], in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProofDigest(String);

impl ProofDigest {
    /// Whether this is the digest of `proof`; takes the same time either way.
    pub fn accepts(&self, proof: &Proof) -> bool {
        self.0.as_bytes().ct_eq(proof.digest().0.as_bytes()).into()
    }
}

/// An order with its controller's signature: the body of `PUT /assignment` and `PUT /credentials`.
///
/// One key signs all kinds. None is read as another: each has a field that the others lack.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound = "")]
pub struct Signed<T> {
    /// The order's JSON, base64: the exact bytes that were signed.
    payload: String,
    /// Ed25519 over the payload's bytes, base64.
    signature: String,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

/// An [`Assignment`] with its controller's signature.
pub type SignedAssignment = Signed<Assignment>;

/// A [`CredentialsRenewal`] with its controller's signature.
pub type SignedRenewal = Signed<CredentialsRenewal>;

/// Why a signed order is not one.
#[derive(Debug, Error)]
pub enum OrderError {
    /// Not base64, or no signature.
    #[error("the order is malformed")]
    Malformed,
    /// Not signed by the controller.
    #[error("the order's signature does not fit")]
    BadSignature,
    /// Signed, but not such an order.
    #[error("the order cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

impl<T: Serialize + DeserializeOwned> Signed<T> {
    /// Signs `order`.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn sign(order: &T, key: &SigningKey) -> Result<Self, serde_json::Error> {
        let payload = serde_json::to_vec(order)?;
        let signature = BASE64.encode(key.sign(&payload).to_bytes());
        Ok(Self { payload: BASE64.encode(&payload), signature, of: PhantomData })
    }

    /// The order, once its signature fits.
    ///
    /// # Errors
    /// [`OrderError`] when it is not the controller's.
    pub fn verify(&self, key: &VerifyingKey) -> Result<T, OrderError> {
        let payload = BASE64.decode(&self.payload).map_err(|_| OrderError::Malformed)?;
        let signature = BASE64.decode(&self.signature).map_err(|_| OrderError::Malformed)?;
        let signature = Signature::from_slice(&signature).map_err(|_| OrderError::Malformed)?;
        key.verify_strict(&payload, &signature).map_err(|_| OrderError::BadSignature)?;
        Ok(serde_json::from_slice(&payload)?)
    }
}
