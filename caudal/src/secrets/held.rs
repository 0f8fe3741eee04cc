//! The keys of each role, ready to use. Where they come from makes no difference to whoever uses them.

use std::path::PathBuf;

use anyhow::Context as _;
use caudal_hls_edge::TicketKey;
use caudal_livestream::proof::{AssignmentKeys, RoleKey, RoleKeys};
use caudal_service::internal::{CallerKey, Signer, Verifier};
use caudal_service::secret;
use ed25519_dalek::SigningKey;
use secrecy::{ExposeSecret as _, SecretString};

use super::folder::read_key;
use super::key::Key;
use super::master::{MIN_LENGTH, MasterSecret};
use super::ring::KeyRing;

/// Where a role's keys come from.
pub enum KeySource {
    /// All are derived from one secret that all roles have.
    Master(MasterSecret),
    /// `CAUDAL_KEYS`: a folder with the role's own.
    Folder(PathBuf),
}

/// The keys of the router.
pub struct RouterKeys {
    /// Shown to workers.
    pub input: RoleKey,
    /// For requests to the api and to other routers.
    pub signer: Signer,
    /// Accepts requests of other routers and the api.
    pub callers: Verifier,
}

/// The keys of the edge.
pub struct EdgeKeys {
    /// Shown to workers.
    pub feed: RoleKey,
    /// Makes tickets and reads them.
    pub tickets: TicketKey,
    /// For requests to the api.
    pub signer: Signer,
}

/// The keys of the api.
pub struct ApiKeys {
    /// What accounts, tokens and stream keys depend on.
    pub secrets: caudal_api::Secrets,
    /// For requests to routers.
    pub signer: Signer,
    /// Accepts requests of router, controller and edge.
    pub callers: Verifier,
}

/// The keys of the controller, on one machine or in a cluster.
pub struct ControllerKeys {
    /// Signs assignments.
    pub assignments: AssignmentKeys,
    /// The router's, for the digests that workers get.
    pub input: RoleKeys,
    /// The edge's, for the same, and to follow workers.
    pub feed: RoleKeys,
    /// For reports to the api.
    pub signer: Signer,
}

impl KeySource {
    /// From `CAUDAL_SECRET`, or from the folder that `CAUDAL_KEYS` names.
    ///
    /// # Errors
    /// When neither or both are set, or the secret cannot be used.
    pub fn given(folder: Option<PathBuf>) -> anyhow::Result<Self> {
        match (MasterSecret::read()?, folder) {
            (Some(_), Some(_)) => anyhow::bail!(BOTH),
            (None, Some(folder)) => Ok(Self::Folder(folder)),
            (Some(master), None) => Ok(Self::Master(master)),
            (None, None) => anyhow::bail!(
                "neither CAUDAL_SECRET nor CAUDAL_KEYS is set: expected the secret that all roles share, or a folder with this role's keys"
            ),
        }
    }

    /// The master secret, where all keys come from one.
    pub fn master(&self) -> Option<&MasterSecret> {
        match self {
            Self::Master(master) => Some(master),
            Self::Folder(_) => None,
        }
    }

    /// # Errors
    /// When a key is not there or cannot be used.
    pub fn router(&self) -> anyhow::Result<RouterKeys> {
        Ok(RouterKeys {
            input: self.role_key(Key::Input)?,
            signer: self.signer("ingest-router", Key::CallerRouter)?,
            callers: self.callers(&[("ingest-router", Key::CallerRouter), ("api", Key::CallerApi)])?,
        })
    }

    /// # Errors
    /// When a key is not there or cannot be used.
    pub fn edge(&self) -> anyhow::Result<EdgeKeys> {
        Ok(EdgeKeys {
            feed: self.role_key(Key::Feed)?,
            tickets: self.tickets()?,
            signer: self.signer("hls-edge", Key::CallerEdge)?,
        })
    }

    /// With `JWT_SECRET` for access tokens, where that is set.
    ///
    /// # Errors
    /// When a key is not there or cannot be used.
    pub fn api(&self) -> anyhow::Result<ApiKeys> {
        let (jwt, other_jwt) = if let Some(given) = secret::read("JWT_SECRET")? {
            (checked_jwt(given)?, Vec::new())
        } else {
            let ring = self.ring(Key::Jwt)?;
            (text(ring.current()), ring.accepted().skip(1).map(text).collect())
        };
        let encryption = self.ring(Key::StreamKeyEncryption)?;
        Ok(ApiKeys {
            secrets: caudal_api::Secrets {
                jwt,
                other_jwt,
                stream_key_pepper: text(self.ring(Key::StreamKeyPepper)?.current()),
                stream_key_encryption: encryption.by_id().map(|(id, key)| (id, text(key))).collect(),
            },
            signer: self.signer("api", Key::CallerApi)?,
            callers: self.callers(&[
                ("ingest-router", Key::CallerRouter),
                ("controller", Key::CallerController),
                ("hls-edge", Key::CallerEdge),
            ])?,
        })
    }

    /// # Errors
    /// When a key is not there or cannot be used.
    pub fn controller(&self) -> anyhow::Result<ControllerKeys> {
        Ok(ControllerKeys {
            assignments: self.assignment_keys()?,
            input: self.role_keys(Key::Input)?,
            feed: self.role_keys(Key::Feed)?,
            signer: self.signer("controller", Key::CallerController)?,
        })
    }

    /// Who may ask a controller that keeps the directory.
    ///
    /// # Errors
    /// When a key is not there or cannot be used.
    pub fn directory_callers(&self) -> anyhow::Result<Verifier> {
        self.callers(&[
            ("ingest-router", Key::CallerRouter),
            ("hls-edge", Key::CallerEdge),
            ("api", Key::CallerApi),
        ])
    }

    /// The ids that the keys of a controller give the installation, that of the one in use first. They say nothing of the keys.
    ///
    /// # Errors
    /// When the key is not there or cannot be used.
    pub fn installations(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.assignment_keys()?.installations().into_iter().map(String::from).collect())
    }

    fn ring(&self, key: Key) -> anyhow::Result<KeyRing> {
        match self {
            Self::Master(master) => Ok(KeyRing::derived(key, master.derive(key.purpose()))),
            Self::Folder(folder) => read_key(folder, key)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("CAUDAL_KEYS is {}", folder.display())),
        }
    }

    fn tickets(&self) -> anyhow::Result<TicketKey> {
        let ring = self.ring(Key::Tickets)?;
        Ok(TicketKey::new(ring.current()).and_accepts(ring.accepted().skip(1)))
    }

    fn assignment_keys(&self) -> anyhow::Result<AssignmentKeys> {
        let ring = self.ring(Key::Assignments)?;
        let others =
            ring.accepted().skip(1).map(|key| SigningKey::from_bytes(&key).verifying_key()).collect();
        Ok(AssignmentKeys::new(SigningKey::from_bytes(&ring.current()), others))
    }

    fn role_key(&self, key: Key) -> anyhow::Result<RoleKey> {
        Ok(RoleKey::new(self.ring(key)?.current()))
    }

    fn role_keys(&self, key: Key) -> anyhow::Result<RoleKeys> {
        let ring = self.ring(key)?;
        let others = ring.accepted().skip(1).map(RoleKey::new).collect();
        Ok(RoleKeys::new(RoleKey::new(ring.current()), others))
    }

    fn signer(&self, caller: &'static str, key: Key) -> anyhow::Result<Signer> {
        Ok(Signer::new(caller, CallerKey::new(self.ring(key)?.current())))
    }

    fn callers(&self, callers: &[(&'static str, Key)]) -> anyhow::Result<Verifier> {
        let mut verifier = Verifier::new();
        for (caller, key) in callers {
            for accepted in self.ring(*key)?.accepted() {
                verifier = verifier.allow(caller, CallerKey::new(accepted));
            }
        }
        Ok(verifier)
    }
}

/// `JWT_SECRET`, if it can be signed with.
fn checked_jwt(given: SecretString) -> anyhow::Result<SecretString> {
    anyhow::ensure!(
        given.expose_secret().len() >= MIN_LENGTH,
        "JWT_SECRET: expected at least {MIN_LENGTH} characters"
    );
    Ok(given)
}

/// 64 hex digits, where a key has to be text.
fn text(key: [u8; 32]) -> SecretString {
    hex::encode(key).into()
}

/// What is said of both at once.
pub const BOTH: &str = "CAUDAL_SECRET and CAUDAL_KEYS are both set: expected one of them, the secret that all keys are derived \
                        from or the folder that they are in";
