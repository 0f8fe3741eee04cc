//! Where a stream's files are kept, and the pictures that people upload: a folder or an S3 bucket, laid out so that any
//! file server or CDN can serve it.
//!
//! Names are types ([`Key`]), never joined text; files appear whole or not at all; an epoch belongs to whom created
//! its claim. Knows nothing of media or playlists, and never decides what to keep.

mod assigned;
mod bucket;
mod claim;
mod folder;
mod key;
mod outstanding;
mod pages;
mod removal;
mod role_sessions;
mod sealing;
mod segment_log;
mod store;

pub use assigned::{AssignedCredentials, Renewed};
pub use bucket::{S3Access, S3Config, S3Credentials};
pub use claim::{ClaimError, StreamClaims};
pub use key::{Durability, InvalidKey, Key, PictureKind, StreamFile};
pub use removal::{Disposable, Provenance};
pub use role_sessions::{Need, RoleConfig, RoleSessionError, RoleSessions};
pub use sealing::{SealError, SealingKey, StreamCredentials};
pub use segment_log::{LoggedTrack, SegmentLog};
pub use store::{CreateError, OpenError, ReplaceError, SegmentStore, StorageError, Version};
