//! What only this machine can tell of settings: whether files are there, folders can be written, ports collide, and
//! secrets are whole. Everything that is wrong is found at once, before anything is started.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use caudal_service::secret;
use caudal_service::tls::Certificate;
use nix::unistd::{AccessFlags, access};
use secrecy::ExposeSecret as _;

use super::given::shown;
use super::{DirectorySetting, Faults, Given, ReplicasSetting, Role, Settings};
use crate::secrets::{BOTH, Key, MIN_LENGTH, SECRET_NAMES, another_keys, another_secret, faults_of_folder};
use crate::standalone::{MEDIA, OURS_ALONE, default_data_folder};

/// Looks at everything that the settings of a role name.
///
/// # Errors
/// With a line for each setting that is missing or cannot work on this machine.
pub fn check(settings: &Settings, role: Role) -> Result<(), Faults> {
    let given = &settings.given;
    let mut faults = missing(settings, given, role);
    faults.extend(ports(settings, given, role));
    faults.extend(certificate(settings, given));
    faults.extend(folders(settings, given, role));
    if role.has("CAUDAL_DATA_DIR") {
        faults.extend(reserved_folders(settings, given));
    }
    faults.extend(web_pages(settings, given).err());
    faults.extend(ffmpeg(settings, given).err());
    if settings.jwt_expires_in.0 > settings.jwt_refresh_expires_in.0 {
        faults.push(format!(
            "{} is longer than {}: expected an access token to end before the refresh token, as in 1h and 7d",
            given.name("JWT_EXPIRES_IN"),
            given.name("JWT_REFRESH_EXPIRES_IN"),
        ));
    }
    let secrets = SECRET_NAMES.iter().filter(|name| role.has(name));
    let unusable: Vec<String> = secrets.filter_map(|name| secret_fault(name)).collect();
    // A pair of which one half is unusable is not also incomplete.
    if unusable.is_empty() {
        faults.extend(bucket_keys(settings).err());
        faults.extend(mail(given, role).err());
        let data =
            settings.data_dir.clone().or_else(default_data_folder).filter(|_| role.has("CAUDAL_DATA_DIR"));
        faults.extend(data.and_then(|data| used_with_another(&data, settings, given, role)));
    }
    faults.extend(keys(settings, given, role));
    faults.extend(unusable);
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

/// What is wrong where the data folder was used with another secret or with other keys before.
fn used_with_another(data: &Path, settings: &Settings, given: &Given, role: Role) -> Option<String> {
    match &settings.keys {
        // Keys in a folder follow from no secret.
        Some(folder) => another_keys(data, role, Some((folder, &given.name("CAUDAL_KEYS")))),
        None => another_secret(data, role).or_else(|| another_keys(data, role, None)),
    }
}

/// What a role cannot guess, and nobody gave.
fn missing(settings: &Settings, given: &Given, role: Role) -> Vec<String> {
    let is_secret = |name: &str| SECRET_NAMES.contains(&name);
    let missing = role.required().iter().filter(|(name, _)| {
        // One that cannot be read is another fault.
        let is_missing =
            if is_secret(name) { matches!(secret::read(name), Ok(None)) } else { !given.has(name) };
        let needless = match *name {
            "CAUDAL_SECRET" => settings.keys.is_some(),
            "CAUDAL_INTERNAL_CONTROLLER_URL" => {
                settings.directory == DirectorySetting::Kubernetes || given.is_unusable("CAUDAL_DIRECTORY")
            }
            _ => false,
        };
        is_missing && !needless
    });
    let mut faults: Vec<String> =
        missing.map(|(name, expected)| format!("{name} is not set: expected {expected}")).collect();
    if role == Role::Operator {
        match (given.has("AWS_S3_BUCKET"), given.has("CAUDAL_MEDIA_CLAIM"), given.has("HLS_PATH")) {
            (true, true, _) => faults.push(format!(
                "{} and {} are both set: expected one of them, for the place where workers write segments",
                given.name("AWS_S3_BUCKET"),
                given.name("CAUDAL_MEDIA_CLAIM"),
            )),
            (true, false, _) | (false, true, true) => {}
            (false, true, false) => faults.push(format!(
                "HLS_PATH is not set: expected the folder that {} is mounted at",
                given.name("CAUDAL_MEDIA_CLAIM"),
            )),
            (false, false, _) => faults.push(
                "CAUDAL_MEDIA_CLAIM is not set: expected the claim that workers write segments to, or their AWS_S3_BUCKET".to_owned(),
            ),
        }
    }
    if role == Role::Operator && given.has("CAUDAL_STS_ROLE_ARN") && !given.has("AWS_S3_BUCKET") {
        faults.push(format!(
            "AWS_S3_BUCKET is not set: expected the bucket that sessions of {} open; a volume has no such thing",
            given.name("CAUDAL_STS_ROLE_ARN"),
        ));
    }
    // Each replica alone would count limits for itself, and its rooms would hear nothing of the others'.
    if role == Role::Api
        && settings.api_replicas == ReplicasSetting::Several
        && matches!(secret::read("REDIS_URL"), Ok(None))
    {
        faults.push(format!(
            "REDIS_URL is not set: {} is several, and expected the Redis that they share, as in redis://10.0.0.7",
            given.name("CAUDAL_API_REPLICAS"),
        ));
    }
    let storage_given = given.has("HLS_PATH") || given.has("AWS_S3_BUCKET");
    if role == Role::HlsEdge && !storage_given {
        faults.push(
            "HLS_PATH is not set: expected the folder that the workers write segments to, or their AWS_S3_BUCKET"
                .to_owned(),
        );
    }
    if role.has("CAUDAL_ADVERTISED_ADDRESS")
        && settings.internal_bind.is_unspecified()
        && !given.has("CAUDAL_ADVERTISED_ADDRESS")
    {
        faults.push(format!(
            "CAUDAL_ADVERTISED_ADDRESS is not set: {} is {}, where nobody else can ask; expected the address that others reach this \
             router at, as in 10.0.0.7",
            given.name("CAUDAL_INTERNAL_BIND"),
            settings.internal_bind,
        ));
    }
    faults
}

/// The folder of keys, for a role that is given one.
fn keys(settings: &Settings, given: &Given, role: Role) -> Vec<String> {
    let (Some(folder), Some(holder)) = (&settings.keys, role.holder()) else { return Vec::new() };
    if !matches!(secret::read("CAUDAL_SECRET"), Ok(None)) {
        return vec![BOTH.to_owned()];
    }
    let name = given.name("CAUDAL_KEYS");
    let jwt_given = !matches!(secret::read("JWT_SECRET"), Ok(None));
    let needless: &[Key] = if jwt_given { &[Key::Jwt] } else { &[] };
    let faults = faults_of_folder(folder, holder, needless).into_iter();
    faults.map(|fault| format!("{name} is {}: {fault}", shown(folder.as_os_str()))).collect()
}

/// Two listeners on one port. Those that the world does not see bind `CAUDAL_INTERNAL_BIND`, the others `CAUDAL_BIND`.
fn ports(settings: &Settings, given: &Given, role: Role) -> Vec<String> {
    let local = settings.internal_bind;
    let rtmps = settings.tls_cert.is_some().then_some(("RTMPS_PORT", settings.bind, settings.rtmps_port));
    let listeners = [
        ("PORT", settings.bind, settings.port),
        ("RTMP_PORT", settings.bind, settings.rtmp_port),
        ("HLS_PORT", settings.bind, settings.hls_port),
        ("CAUDAL_INTERNAL_PORT", local, settings.internal_port),
        ("CAUDAL_ADMIN_PORT", local, settings.admin_port),
    ];
    let mut taken: BTreeMap<u16, Vec<(&str, IpAddr)>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, address, port) in listeners.into_iter().chain(rtmps) {
        if !role.has(name) || given.is_unusable(name) {
            continue;
        }
        let others = taken.entry(port).or_default();
        let overlaps = |other: IpAddr| other == address || other.is_unspecified() || address.is_unspecified();
        if port != 0
            && let Some((other, _)) = others.iter().find(|(_, other)| overlaps(*other))
        {
            faults.push(format!(
                "{} and {} are both {port}: expected a port for each",
                given.name(other),
                given.name(name)
            ));
        }
        others.push((name, address));
    }
    faults
}

fn certificate(settings: &Settings, given: &Given) -> Vec<String> {
    let (certificate, key) = (settings.tls_cert.as_deref(), settings.tls_key.as_deref());
    // Each file by itself first: with one of them missing or damaged, something may be wrong with the other one, too.
    let alone = [
        ("CAUDAL_TLS_CERT", certificate.map(Certificate::check_chain)),
        ("CAUDAL_TLS_KEY", key.map(Certificate::check_key)),
    ];
    let mut faults: Vec<String> = alone
        .into_iter()
        .filter_map(|(name, checked)| Some(format!("{}: {}", given.name(name), checked?.err()?)))
        .collect();
    match (certificate, key) {
        (Some(certificate), Some(key)) if faults.is_empty() => {
            faults.extend(Certificate::check(certificate, key).err().map(|error| {
                format!("{} and {}: {error}", given.name("CAUDAL_TLS_CERT"), given.name("CAUDAL_TLS_KEY"))
            }));
        }
        (Some(_), None) => faults.extend(half_fault(
            given,
            "CAUDAL_TLS_CERT",
            "CAUDAL_TLS_KEY",
            "the file with the certificate's key",
        )),
        (None, Some(_)) => faults.extend(half_fault(
            given,
            "CAUDAL_TLS_KEY",
            "CAUDAL_TLS_CERT",
            "the file with the key's certificate",
        )),
        _ => {}
    }
    faults
}

/// Half a pair; none where the other half was given and cannot be used, which is said anyway.
fn half_fault(given: &Given, present: &str, absent: &str, what: &str) -> Option<String> {
    (!given.is_unusable(absent))
        .then(|| format!("{} is given without {absent}: expected {what} too", given.name(present)))
}

fn folders(settings: &Settings, given: &Given, role: Role) -> Vec<String> {
    let mut faults: Vec<String> = [
        ("CAUDAL_DATA_DIR", settings.data_dir.as_deref()),
        ("HLS_PATH", media_folder(settings)),
        ("LOG_DIR", settings.log_dir.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, folder)| {
        let folder = folder?;
        // Edges read segments and may have no right to write them.
        let read_only = role == Role::HlsEdge && name == "HLS_PATH" && folder.is_dir();
        let shared = role != Role::Standalone && name == "HLS_PATH";
        let reason = writable_folder(folder).err().filter(|_| !read_only);
        let reason = reason.or_else(|| shared.then(|| no_folder(folder))?)?;
        Some(format!("{} is {}: {reason}", given.name(name), shown(folder.as_os_str())))
    })
    .collect();
    if role.has("CAUDAL_DATA_DIR") && settings.data_dir.is_none() {
        match default_data_folder().map(|folder| (writable_folder(&folder), folder)) {
            Some((Ok(()), _)) => {}
            Some((Err(reason), folder)) => faults.push(format!(
                "CAUDAL_DATA_DIR is not set, and the usual {} cannot be used: {reason}; set it to a folder of yours",
                folder.display()
            )),
            None => faults.push("CAUDAL_DATA_DIR is not set, and there is no HOME to keep data in; set it to a folder of yours".to_owned()),
        }
    }
    faults
}

/// Settings that lead into a subfolder of the data folder reserved for the platform.
fn reserved_folders(settings: &Settings, given: &Given) -> Vec<String> {
    let Some(data) = settings.data_dir.clone().or_else(default_data_folder) else { return Vec::new() };
    [("HLS_PATH", media_folder(settings), MEDIA), ("LOG_DIR", settings.log_dir.as_deref(), "logs")]
        .into_iter()
        .filter_map(|(name, folder, free)| {
            let folder = folder?;
            let place = without_links(folder);
            let taken = OURS_ALONE
                .iter()
                .map(|reserved| data.join(reserved))
                .find(|reserved| place.starts_with(without_links(reserved)))?;
            Some(format!(
                "{} is {}: that is in {}, which the platform keeps for itself; expected a folder of its own, as in {}",
                given.name(name),
                shown(folder.as_os_str()),
                taken.display(),
                data.join(free).display()
            ))
        })
        .collect()
}

/// The folder that somebody chose for segments; it means nothing where a bucket holds them.
fn media_folder(settings: &Settings) -> Option<&Path> {
    settings.storage.hls_path.as_deref().filter(|_| settings.storage.s3_bucket.is_none())
}

/// What is said of a folder that several processes share and that is not there. It is not made: a path that one of them has
/// mistyped would lead to a folder that no other looks into.
pub fn no_folder(folder: &Path) -> Option<String> {
    let reason = "there is no such folder; expected the one that the workers write segments to and edges read (make it \
                  first, with mkdir, if this is a new installation)";
    (!folder.is_dir()).then(|| reason.to_owned())
}

/// Where a path leads, as far as it exists.
fn without_links(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = absolute
        .ancestors()
        .find_map(|there| Some(there.canonicalize().ok()?.join(absolute.strip_prefix(there).ok()?)));
    real.unwrap_or(absolute)
}

/// A folder that can be written, or that can be made. Rights alone do not tell: disks are mounted read-only, and root may
/// do everything but write into some of the kernel's own folders.
fn writable_folder(folder: &Path) -> Result<(), String> {
    let absolute = std::path::absolute(folder).map_err(|error| error.to_string())?;
    if let Err(error) = absolute.symlink_metadata()
        && error.kind() == std::io::ErrorKind::InvalidFilename
    {
        return Err("its name is longer than any file system takes".to_owned());
    }
    let there =
        absolute.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).unwrap_or(&absolute);
    let shown = there.display();
    let metadata = there.metadata().map_err(|error| format!("{shown}: {error}"))?;
    if !metadata.is_dir() {
        return Err(format!("{shown} is a file; expected a folder"));
    }
    // A file without a name: nobody sees it, and it is gone with this call.
    match tempfile::tempfile_in(there) {
        Ok(_) => Ok(()),
        Err(error) if there == absolute => Err(format!("it cannot be written: {}", cause(&error))),
        Err(error) => Err(format!("it cannot be made, because {shown} cannot be written: {}", cause(&error))),
    }
}

/// What the system said, without the name of a file that nobody knows.
fn cause(error: &std::io::Error) -> String {
    error.get_ref().and_then(|inner| inner.source()).map_or_else(|| error.to_string(), ToString::to_string)
}

fn web_pages(settings: &Settings, given: &Given) -> Result<(), String> {
    let Some(folder) = &settings.web_dir else { return Ok(()) };
    let fault = |reason: &str| {
        Err(format!(
            "{} is {}: {reason}; expected the folder of the built pages, web/dist after `make web`",
            given.name("CAUDAL_WEB_DIR"),
            shown(folder.as_os_str())
        ))
    };
    match folder.metadata() {
        Err(error) => fault(&error.to_string()),
        Ok(there) if !there.is_dir() => fault("it is a file"),
        Ok(_) if !folder.join("index.html").is_file() => fault("there is no index.html in it"),
        Ok(_) => Ok(()),
    }
}

/// Only what somebody has chosen: without the usual ffmpeg the platform runs, and says what is missing.
fn ffmpeg(settings: &Settings, given: &Given) -> Result<(), String> {
    if !given.has("CAUDAL_FFMPEG") || program(&settings.ffmpeg).is_some() {
        return Ok(());
    }
    let place = if settings.ffmpeg.components().count() > 1 {
        "there is no such program"
    } else {
        "there is no such program in PATH"
    };
    Err(format!(
        "{} is {}: {place}; expected one that can be run, as in /usr/bin/ffmpeg",
        given.name("CAUDAL_FFMPEG"),
        shown(settings.ffmpeg.as_os_str())
    ))
}

/// Says what the role can do without, and people notice only later.
pub fn warn_of_what_is_missing(settings: &Settings, role: Role) {
    if role.has("CAUDAL_WEB_DIR") && settings.web_dir.is_none() {
        tracing::warn!(
            "there are no web pages, only the api: CAUDAL_WEB_DIR is not set (`make run` builds the pages and sets it)"
        );
    }
    if role.has("CAUDAL_FFMPEG") && program(&settings.ffmpeg).is_none() {
        tracing::warn!(
            "{} is not in PATH: streams have their source quality only and no poster; install it (Debian: apt-get install ffmpeg)",
            settings.ffmpeg.display()
        );
    }
}

/// The file that is run for `name`, found as the system finds it.
fn program(name: &Path) -> Option<PathBuf> {
    let runnable = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if name.components().count() > 1 {
        return runnable(name).then(|| name.to_owned());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| runnable(path))
}

/// Keys go together. Without them the instance's or a web identity's are used, with servers that are not Amazon's too.
fn bucket_keys(settings: &Settings) -> Result<(), String> {
    if settings.storage.s3_bucket.is_none() {
        return Ok(());
    }
    let is_set = |name| matches!(secret::read(name), Ok(Some(_)));
    match (is_set("AWS_ACCESS_KEY_ID"), is_set("AWS_SECRET_ACCESS_KEY")) {
        (true, false) => {
            Err("AWS_ACCESS_KEY_ID is given without AWS_SECRET_ACCESS_KEY: expected both".to_owned())
        }
        (false, true) => {
            Err("AWS_SECRET_ACCESS_KEY is given without AWS_ACCESS_KEY_ID: expected both".to_owned())
        }
        _ => Ok(()),
    }
}

/// Of the mail server and whom mails are from, one says nothing without the other.
fn mail(given: &Given, role: Role) -> Result<(), String> {
    let has_server = role.has("SMTP_URL") && matches!(secret::read("SMTP_URL"), Ok(Some(_)));
    match (has_server, given.has("SMTP_FROM")) {
        (true, false) => Err(
            "SMTP_URL is given without SMTP_FROM: expected whom mails are from, as in no-reply@live.example"
                .to_owned(),
        ),
        (false, true) => Err(format!(
            "{} is given without SMTP_URL: expected the mail server, as in smtps://user:password@mail.example",
            given.name("SMTP_FROM"),
        )),
        _ => Ok(()),
    }
}

/// What is wrong with a secret; never the secret itself.
fn secret_fault(name: &'static str) -> Option<String> {
    let value = match secret::read(name) {
        Err(error) => return Some(error.to_string()),
        Ok(value) => value?,
    };
    if EXAMPLES.contains(&value.expose_secret().trim()) {
        return Some(format!(
            "{name} is an example of the documentation, which everybody knows: set one of your own"
        ));
    }
    match name {
        "CAUDAL_SECRET" | "JWT_SECRET" if value.expose_secret().len() < MIN_LENGTH => Some(format!(
            "{name} is shorter than {MIN_LENGTH} characters; make one with: openssl rand -base64 48"
        )),
        "DATABASE_URL" => {
            caudal_api::check_database_url(&value).err().map(|reason| format!("{name}: {reason}"))
        }
        "SMTP_URL" => caudal_api::check_smtp_url(&value).err().map(|reason| format!("{name}: {reason}")),
        "REDIS_URL" => caudal_api::check_redis_url(&value).err().map(|reason| format!("{name}: {reason}")),
        _ => None,
    }
}

/// What the platform's description has in place of secrets.
const EXAMPLES: [&str; 2] = ["your-secret-key", "sk_test_xxx"];
