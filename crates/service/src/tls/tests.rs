//! With real handshakes over TCP.

use std::net::SocketAddr;

use rcgen::CertifiedKey as Generated;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        crate::install_crypto();
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("fullchain.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("privkey.pem")
    }

    fn put(&self, pair: &Generated<rcgen::KeyPair>) {
        fs::write(self.certificate(), pair.cert.pem()).unwrap();
        fs::write(self.key(), pair.signing_key.serialize_pem()).unwrap();
    }

    fn load(&self) -> (Certificate, CertificateWatch) {
        Certificate::load(&self.certificate(), &self.key(), &Registry::new()).unwrap()
    }
}

fn pair() -> Generated<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// A server that sends back what it gets.
async fn serve(certificate: &Certificate) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(certificate.server_config()));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(acceptor.accept(socket).await.unwrap());
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn connect(address: SocketAddr, trusted: &[&Generated<rcgen::KeyPair>]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.cert.der().clone()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn echo(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"there?").await.unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"there?");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_live_on() {
    let (place, old, new) = (Place::new(), pair(), pair());
    place.put(&old);
    let (certificate, mut watch) = place.load();
    let address = serve(&certificate).await;
    let mut open = connect(address, &[&old, &new]).await;
    assert_eq!(shown(&open), old.cert.der().to_vec());
    echo(&mut open).await;

    // As certbot does it: one file after the other, with a look in between.
    fs::write(place.certificate(), new.cert.pem()).unwrap();
    certificate.look(certificate.files.read(), &mut watch, SystemTime::now());
    assert_eq!(shown(&connect(address, &[&old, &new]).await), old.cert.der().to_vec());
    fs::write(place.key(), new.signing_key.serialize_pem()).unwrap();
    certificate.look(certificate.files.read(), &mut watch, SystemTime::now());

    assert_eq!(shown(&connect(address, &[&old, &new]).await), new.cert.der().to_vec());
    echo(&mut open).await;
}

#[tokio::test(start_paused = true)]
async fn the_files_are_looked_at_without_being_asked_to() {
    let (place, old, new) = (Place::new(), pair(), pair());
    place.put(&old);
    let (certificate, watch) = place.load();
    let shutdown = CancellationToken::new();
    let renewed = async {
        place.put(&new);
        loop {
            sleep(Duration::from_secs(1)).await;
            let shown = Arc::clone(&certificate.shown.0.read().unwrap());
            if shown.cert[0] == *new.cert.der() {
                shutdown.cancel();
                return;
            }
            // The file is read on another thread, which the paused clock does not know of.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
    };
    tokio::join!(certificate.follow(watch, shutdown.clone()), renewed);
}

#[test]
fn a_switched_symlink_is_a_renewal() {
    let (place, old, new) = (Place::new(), pair(), pair());
    let put = |version: &str, pair: &Generated<rcgen::KeyPair>| {
        fs::write(place.folder.path().join(format!("cert{version}")), pair.cert.pem()).unwrap();
        fs::write(place.folder.path().join(format!("key{version}")), pair.signing_key.serialize_pem())
            .unwrap();
    };
    let switch = |version: &str| {
        for (link, target) in [(place.certificate(), "cert"), (place.key(), "key")] {
            let next = link.with_extension("next");
            std::os::unix::fs::symlink(format!("{target}{version}"), &next).unwrap();
            fs::rename(next, link).unwrap();
        }
    };
    put("1", &old);
    put("2", &new);
    switch("1");
    let (certificate, mut watch) = place.load();
    switch("2");
    assert_eq!(watch.see(&certificate.files.read()), Seen::Renewed);
}

#[test]
fn a_broken_renewal_keeps_the_old_certificate_and_is_said_once() {
    let (place, old) = (Place::new(), pair());
    place.put(&old);
    let (certificate, mut watch) = place.load();
    fs::write(place.key(), pair().signing_key.serialize_pem()).unwrap();
    assert_eq!(watch.see(&certificate.files.read()), Seen::Same, "the other file may be on its way");
    assert!(
        matches!(watch.see(&certificate.files.read()), Seen::Broken(reason) if reason.contains("does not belong"))
    );
    assert_eq!(watch.see(&certificate.files.read()), Seen::Same);
    fs::remove_file(place.certificate()).unwrap();
    assert_eq!(watch.see(&certificate.files.read()), Seen::Same);
    assert!(
        matches!(watch.see(&certificate.files.read()), Seen::Broken(reason) if reason.contains("cannot be read"))
    );
    place.put(&old);
    assert_eq!(watch.see(&certificate.files.read()), Seen::Mended);
    assert_eq!(watch.see(&certificate.files.read()), Seen::Same);
}

#[test]
fn an_end_that_is_near_or_past_is_said_once_a_day() {
    let place = Place::new();
    place.put(&pair());
    let (_certificate, mut watch) = place.load();
    let end = SystemTime::now() + DAY * 1000;
    watch.not_after = end;
    assert_eq!(watch.validity(end - DAY * 15), None);
    let at = end - DAY * 13;
    assert_eq!(watch.validity(at).unwrap(), "the certificate expires in 13 days: renew it");
    assert_eq!(watch.validity(at + DAY / 2), None);
    assert_eq!(watch.validity(at + DAY).unwrap(), "the certificate expires in 12 days: renew it");
    assert!(watch.validity(end + DAY).unwrap().contains("has expired"));
    // The clock was ahead, and nothing is silent until then.
    assert_eq!(watch.validity(at + DAY * 2).unwrap(), "the certificate expires in 11 days: renew it");
    watch.not_after = end + DAY * 400;
    watch.not_before = end + DAY * 300;
    assert!(watch.validity(end + DAY * 2).unwrap().contains("not valid yet"));
}

#[test]
fn files_that_are_no_pair_are_refused_in_words_that_name_the_file() {
    let (place, good) = (Place::new(), pair());
    let (certificate, key) = (good.cert.pem(), good.signing_key.serialize_pem());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (certificate_text, key_text, complaint) in [
        ("", key.as_str(), "fullchain.pem holds no certificate"),
        (key.as_str(), certificate.as_str(), "fullchain.pem holds no certificate"),
        (certificate.as_str(), "", "privkey.pem holds no private key"),
        (certificate.as_str(), encrypted, "privkey.pem holds no private key"),
        (garbage, key.as_str(), "fullchain.pem is damaged"),
        (certificate.as_str(), &pair().signing_key.serialize_pem(), "does not belong to the certificate"),
    ] {
        fs::write(place.certificate(), certificate_text).unwrap();
        fs::write(place.key(), key_text).unwrap();
        let refused = Certificate::check(&place.certificate(), &place.key()).unwrap_err().to_string();
        assert!(refused.contains(complaint), "{refused}");
    }
    let missing = Certificate::check(&place.folder.path().join("none"), &place.key()).unwrap_err();
    assert!(missing.to_string().contains("none cannot be read: No such file"), "{missing}");
}

#[test]
fn an_issuer_that_has_expired_does_not_make_the_certificate_expired() {
    let (place, own) = (Place::new(), pair());
    place.put(&own);
    let (_certificate, alone) = place.load();
    let mut expired = rcgen::CertificateParams::new(["an old issuer".to_owned()]).unwrap();
    expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let issuer = expired.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    fs::write(place.certificate(), own.cert.pem() + &issuer.pem()).unwrap();
    let (_certificate, mut watch) = place.load();
    assert_eq!((watch.not_before, watch.not_after), (alone.not_before, alone.not_after));
    assert_eq!(watch.validity(SystemTime::now()), None);
}

#[test]
fn the_end_of_the_certificate_is_a_metric() {
    let place = Place::new();
    place.put(&pair());
    let registry = Registry::new();
    let (_certificate, watch) = Certificate::load(&place.certificate(), &place.key(), &registry).unwrap();
    let family = registry.gather().remove(0);
    assert_eq!(family.name(), "caudal_tls_certificate_expiry_timestamp_seconds");
    let value = family.get_metric()[0].get_gauge().get_value();
    assert_eq!(format!("{value:.0}"), unix_seconds(watch.not_after).to_string());
}
