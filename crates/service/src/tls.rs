//! A certificate from PEM files, shown to every new connection, and taken up anew when the files change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{IntGauge, Registry};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// There is no such file, or it may not be read.
    #[error("{path} cannot be read: {reason}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A file for a certificate without one.
    #[error("{path} holds no certificate: expected PEM, beginning with -----BEGIN CERTIFICATE-----", path = path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file for a key without one; an encrypted key counts as none.
    #[error("{path} holds no private key: expected PEM without a passphrase, as in -----BEGIN PRIVATE KEY-----", path = path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where parsing ended.
        reason: String,
    },
    /// The two do not belong together.
    #[error("the key in {key} does not belong to the certificate in {certificate}: expected the files of one pair", key = key.display(), certificate = certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A key of a kind that TLS has no use for.
    #[error("the key in {path} cannot be used: {reason}", path = path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        reason: rustls::Error,
    },
}

/// A certificate and its key, and the files that they came from. All server configurations made from it show whatever
/// was loaded last; connections that are open keep what they have.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    shown: Arc<Shown>,
    expiry: IntGauge,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What was read from the files.
struct Pair {
    chain_and_key: Arc<CertifiedKey>,
    not_before: SystemTime,
    not_after: SystemTime,
    fingerprint: Fingerprint,
}

/// The server's own certificate and those that lead to a root, and the time of the former. Clients build their own path to a
/// root, so that an issuer's certificate that has expired (an old cross-signature, for example) often hurts nobody.
struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// SHA-256 over both files: whether they have changed is asked of their bytes, because symlinks that are switched and
/// copies that keep their times are common ways to renew.
type Fingerprint = [u8; 32];

#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificate {
    /// Reads the chain in `certificate` and the key in `key`, and registers when the certificate expires with `registry`.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be used; a certificate that has expired can.
    pub fn load(
        certificate: &Path,
        key: &Path,
        registry: &Registry,
    ) -> anyhow::Result<(Self, CertificateWatch)> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let pair = files.read()?;
        let expiry = IntGauge::new(
            "caudal_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that is shown to new connections expires.",
        )?;
        registry.register(Box::new(expiry.clone()))?;
        expiry.set(unix_seconds(pair.not_after));
        let watch = CertificateWatch::new(&pair);
        let shown = Arc::new(Shown(RwLock::new(pair.chain_and_key)));
        Ok((Self { files, shown, expiry }, watch))
    }

    /// Whether the files could be used now, without using them.
    ///
    /// # Errors
    /// [`TlsError`] as [`Self::load`] has it.
    pub fn check(certificate: &Path, key: &Path) -> Result<(), TlsError> {
        Files { certificate: certificate.to_owned(), key: key.to_owned() }.read().map(drop)
    }

    /// Whether there is a certificate in this file, of whatever key.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn check_chain(certificate: &Path) -> Result<(), TlsError> {
        Chain::in_file(certificate, &contents(certificate)?).map(drop)
    }

    /// Whether there is a key in this file, of whatever certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn check_key(key: &Path) -> Result<(), TlsError> {
        key_in_file(key, &contents(key)?).map(drop)
    }

    /// A server that shows this certificate.
    pub fn server_config(&self) -> ServerConfig {
        let shown: Arc<dyn ResolvesServerCert> = self.shown.clone();
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(shown)
    }

    /// Looks at the files every half minute until `shutdown`, and says once a day when the certificate is about to expire.
    pub async fn follow(&self, mut watch: CertificateWatch, shutdown: CancellationToken) {
        loop {
            let files = self.files.clone();
            // Files may be on a network disk that hangs. A panic in there would be a bug of the parser: the old pair stays.
            if let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await {
                self.look(read, &mut watch, SystemTime::now());
            }
            if shutdown.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    fn look(&self, read: Result<Pair, TlsError>, watch: &mut CertificateWatch, now: SystemTime) {
        match watch.see(&read) {
            Seen::Same => {}
            Seen::Renewed => {
                if let Ok(pair) = read {
                    self.expiry.set(unix_seconds(pair.not_after));
                    *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = pair.chain_and_key;
                    tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is shown to new connections");
                }
            }
            Seen::Broken(reason) => {
                tracing::error!("the new certificate cannot be used, and the old one stays: {reason}");
            }
            Seen::Mended => tracing::info!("the certificate's files are in order again"),
        }
        if let Some(words) = watch.validity(now) {
            tracing::warn!(certificate = %self.files.certificate.display(), "{words}");
        }
    }
}

impl Files {
    fn read(&self) -> Result<Pair, TlsError> {
        let Self { certificate, key } = self;
        let certificate_pem = contents(certificate)?;
        let key_pem = contents(key)?;
        let fingerprint = Sha256::new()
            .chain_update(Sha256::digest(&certificate_pem))
            .chain_update(&key_pem)
            .finalize()
            .into();
        let Chain { certificates, not_before, not_after } = Chain::in_file(certificate, &certificate_pem)?;
        let private = key_in_file(key, &key_pem)?;
        let unusable = |reason| TlsError::Key { path: key.clone(), reason };
        let provider = CryptoProvider::get_default()
            .ok_or_else(|| unusable(rustls::Error::General("no crypto is installed".to_owned())))?;
        let pair = CertifiedKey::from_der(certificates, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { certificate: certificate.clone(), key: key.clone() }
            }
            rustls::Error::InvalidCertificate(reason) => damaged(certificate, format!("{reason:?}")),
            other => unusable(other),
        })?;
        Ok(Pair { chain_and_key: Arc::new(pair), not_before, not_after, fingerprint })
    }
}

impl Chain {
    fn in_file(path: &Path, pem: &[u8]) -> Result<Self, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| damaged(path, error.to_string()))?;
        let mut validity = None;
        for one in &certificates {
            let (_, parsed) =
                x509_parser::parse_x509_certificate(one).map_err(|error| damaged(path, error.to_string()))?;
            let parsed = parsed.validity();
            validity.get_or_insert((parsed.not_before.timestamp(), parsed.not_after.timestamp()));
        }
        let Some((not_before, not_after)) = validity else {
            return Err(TlsError::NoCertificate { path: path.to_owned() });
        };
        let (not_before, not_after) = (from_unix_seconds(not_before), from_unix_seconds(not_after));
        Ok(Self { certificates, not_before, not_after })
    }
}

fn key_in_file(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        other => damaged(path, other.to_string()),
    })
}

fn damaged(path: &Path, reason: String) -> TlsError {
    TlsError::Damaged { path: path.to_owned(), reason }
}

fn contents(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|reason| TlsError::Unreadable { path: path.to_owned(), reason })
}

/// What is known of the files from one look to the next. No clock of its own.
#[derive(Debug)]
pub struct CertificateWatch {
    shown: Fingerprint,
    not_before: SystemTime,
    not_after: SystemTime,
    broken: Option<Broken>,
    /// When somebody was last told that the certificate is not valid, or soon no more.
    said: Option<SystemTime>,
}

#[derive(Debug)]
struct Broken {
    reason: String,
    said: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Same,
    Renewed,
    Broken(String),
    Mended,
}

impl CertificateWatch {
    fn new(pair: &Pair) -> Self {
        let Pair { fingerprint, not_before, not_after, .. } = pair;
        Self { shown: *fingerprint, not_before: *not_before, not_after: *not_after, broken: None, said: None }
    }

    /// A pair that cannot be used is spoken of only at the second look, and then once: between a renewal's first file and
    /// its second one there is always such a moment.
    fn see(&mut self, read: &Result<Pair, TlsError>) -> Seen {
        match read {
            Ok(pair) if pair.fingerprint == self.shown => match self.broken.take() {
                Some(Broken { said: true, .. }) => Seen::Mended,
                _ => Seen::Same,
            },
            Ok(pair) => {
                *self = Self::new(pair);
                Seen::Renewed
            }
            Err(error) => {
                let reason = error.to_string();
                match &mut self.broken {
                    Some(broken) if broken.reason == reason => {
                        if broken.said {
                            return Seen::Same;
                        }
                        broken.said = true;
                        Seen::Broken(reason)
                    }
                    _ => {
                        self.broken = Some(Broken { reason, said: false });
                        Seen::Same
                    }
                }
            }
        }
    }

    /// What to say of the certificate's time, at most once a day.
    fn validity(&mut self, now: SystemTime) -> Option<String> {
        let words = match self.not_after.duration_since(now) {
            Err(_) => "the certificate has expired: players and encoders refuse it; renew it".to_owned(),
            Ok(_) if now < self.not_before => {
                "the certificate is not valid yet: players and encoders refuse it; is this machine's clock right?".to_owned()
            }
            Ok(left) if left < SPEAK_BEFORE => {
                format!("the certificate expires in {} days: renew it", left.as_secs() / DAY.as_secs())
            }
            Ok(_) => return None,
        };
        // If `said` lies in the future, the clock was set back: speak again.
        let due = self.said.is_none_or(|said| !now.duration_since(said).is_ok_and(|since| since < DAY));
        due.then(|| {
            self.said = Some(now);
            words
        })
    }
}

fn from_unix_seconds(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}

const DAY: Duration = Duration::from_secs(86_400);
/// Certbot renews a month before the end; half of that without success needs a person.
const SPEAK_BEFORE: Duration = Duration::from_secs(14 * 86_400);
/// Renewals happen weeks before the end, so half a minute is soon enough; two small files are cheap to read.
const LOOK_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
