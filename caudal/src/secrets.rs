//! What must not be known: by `NAME` or `NAME_FILE`, or made once and kept in a folder.
//!
//! * `master` – `CAUDAL_SECRET`, the one secret that all keys of an installation can be derived from
//! * `used_secret` – with which one a data folder is used
//! * `used_keys` – with which keys
//! * `key` – which keys there are, and which role holds which
//! * `ring` – a key and those that it replaces, and how both stand in a file
//! * `folder` – `CAUDAL_KEYS`, a role's own keys in files
//! * `held` – the keys of each role, ready to use
//! * `private_file` – files for their owner alone
//! * `making` – all keys of an installation, made where they are missing

mod folder;
mod held;
mod key;
pub mod making;
mod master;
pub mod private_file;
mod ring;
mod used_keys;
mod used_secret;

pub use folder::{faults_of_folder, read_file};
pub use held::{ApiKeys, BOTH, ControllerKeys, EdgeKeys, KeySource, RouterKeys};
pub use key::{HOLDERS, Holder, Key};
pub use master::{MIN_LENGTH, MasterSecret};
pub use used_keys::{another_keys, remember_changed_keys, remember_keys};
pub use used_secret::{SECRETS, another_secret, remember};

/// All secrets that can be given by `NAME` or `NAME_FILE`.
pub const SECRET_NAMES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CAUDAL_SECRET",
    "DATABASE_URL",
    "JWT_SECRET",
    "REDIS_URL",
    "SMTP_URL",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRETS",
];
