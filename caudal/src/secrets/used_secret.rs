//! Which master secret a data folder is used with. It is noted there, so that another one is noticed at a start.

use std::fs;
use std::path::Path;

use super::master::{MASTER, MasterSecret};
use super::private_file;
use super::used_keys::KEYS;
use crate::settings::Role;

/// Notes in `folder` that `secret` is in use. What is noted already stays.
pub fn remember(secret: &MasterSecret, folder: &Path) {
    if let Err(error) = private_file::create(folder, DIGEST, digest_of(secret).as_bytes()) {
        tracing::warn!(path = %folder.join(DIGEST).display(), %error, "it cannot be noted which secret is in use");
    }
}

/// What is wrong when the secret that a start would use is not the one that the data folder `data` was used with before. Unless
/// somebody means it, it is a mistake whose effects show late and look like others: keys that nobody can read, sessions that
/// have ended, broadcasts in storage that are somebody else's.
pub fn another_secret(data: &Path, role: Role) -> Option<String> {
    // One that cannot be read is another fault.
    another_than_before(data, role, MasterSecret::read().ok()?)
}

/// The same where `given` is `CAUDAL_SECRET`. Nobody is told to remove `master`: it is the only copy of a secret.
fn another_than_before(data: &Path, role: Role, given: Option<MasterSecret>) -> Option<String> {
    let folder = data.join(SECRETS);
    let (digest, own) = (folder.join(DIGEST), folder.join(MASTER));
    let noted = fs::read_to_string(&digest).ok();
    let kept = MasterSecret::kept_in(&folder);
    let is_noted =
        |secret: &MasterSecret| noted.as_ref().is_some_and(|noted| digest_of(secret) == noted.trim_end());
    let noted_files =
        [&digest, &folder.join(KEYS)].map(|file| file.exists().then(|| file.display().to_string()));
    let put_noted_away = || format!("move {} away", and(noted_files.iter().flatten()));
    let own = own.display();
    let put_all_away = || {
        let files: Vec<_> = noted_files.iter().flatten().cloned().chain([own.to_string()]).collect();
        let them = if files.len() == 1 { "it" } else { "them" };
        format!("move {} away and keep {them}", and(files.iter()))
    };
    let variable = given_by();
    let (fault, cure, put_away) = match (given, kept) {
        (Some(given), _) if is_noted(&given) => return None,
        (None, Ok(kept)) if is_noted(&kept) => return None,
        // Only standalone mode makes a secret, and a role never uses that file.
        (Some(given), Ok(kept)) if role != Role::Standalone && digest_of(&given) != digest_of(&kept) => {
            return Some(format!(
                "{variable} is not the secret that a standalone platform has made in this data folder ({own}). With another \
                 secret, no stream key and no session of that platform is good any more. So give {} a data folder of its own; \
                 or, to go over from standalone mode, move {} away and keep it, because going back needs it \
                 (docs/operating.md, Going over from standalone mode)",
                role.name(),
                folder.display(),
            ));
        }
        // Releases that noted nothing used `master` where CAUDAL_SECRET was not set.
        (Some(given), Ok(kept)) if noted.is_none() && digest_of(&given) != digest_of(&kept) => (
            format!("{variable} is not the secret that this data folder has in {own}"),
            format!("leave {variable} out, as before"),
            put_all_away(),
        ),
        _ if noted.is_none() => return None,
        (Some(_), Ok(_)) => (
            format!("{variable} is not the one that {} was used with before", data.display()),
            format!("set {variable} as it was, or leave it out if it was not set before"),
            put_all_away(),
        ),
        (Some(_), Err(_)) => (
            format!("{variable} is not the one that {} was used with before", data.display()),
            format!("set {variable} as it was"),
            put_noted_away(),
        ),
        (None, Ok(_)) => (
            format!(
                "CAUDAL_SECRET is not set, and {own} is not the secret that this data folder was used with before"
            ),
            "set CAUDAL_SECRET as it was, or restore secrets/ from a backup".to_owned(),
            put_noted_away(),
        ),
        (None, Err(_)) => (
            format!(
                "CAUDAL_SECRET is not set, and {own} is not there: the secret that this data folder was used with is missing"
            ),
            "set CAUDAL_SECRET as it was, or restore secrets/ from a backup".to_owned(),
            put_noted_away(),
        ),
    };
    Some(format!(
        "{fault}. With another secret, no stream key and no session is good any more. So {cure}; or, to change the secret on purpose, {put_away} (docs/operating.md, Changing the secret)"
    ))
}

/// As in "a, b and c".
fn and<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        names => names.concat(),
    }
}

/// The variable that names the secret, for whoever has to change it.
pub(super) fn given_by() -> &'static str {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("CAUDAL_SECRET") && is_set("CAUDAL_SECRET_FILE") {
        "CAUDAL_SECRET_FILE"
    } else {
        "CAUDAL_SECRET"
    }
}

/// Tells secrets apart, and says nothing of them.
fn digest_of(secret: &MasterSecret) -> String {
    hex::encode(secret.derive("digest"))
}

/// The subfolder of the data folder.
pub const SECRETS: &str = "secrets";
/// Which secret is in use.
const DIGEST: &str = "digest";

#[cfg(test)]
mod tests {
    use super::*;

    /// One of this letter.
    fn secret(letter: &str) -> MasterSecret {
        MasterSecret::for_test(&letter.repeat(32))
    }

    #[test]
    fn another_secret_than_the_one_before_is_noticed_and_forgotten_with_its_digest() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        assert_eq!(another_secret(data.path(), Role::Standalone), None, "a first start");
        let own = MasterSecret::load_or_create(&secrets, &data.path().join("postgres")).unwrap();
        remember(&own, &secrets);
        assert_eq!(another_secret(data.path(), Role::Standalone), None);
        // A later start notes nothing else.
        let other = secret("b");
        remember(&other, &secrets);
        assert_eq!(another_secret(data.path(), Role::Standalone), None);

        fs::write(secrets.join(MASTER), "b".repeat(32)).unwrap();
        let fault = another_secret(data.path(), Role::Standalone).unwrap();
        assert!(
            fault.contains("secrets/master is not the secret") && fault.contains("secrets/digest away ("),
            "{fault}"
        );
        fs::remove_file(secrets.join(MASTER)).unwrap();
        let fault = another_secret(data.path(), Role::Standalone).unwrap();
        assert!(fault.starts_with("CAUDAL_SECRET is not set, and "), "{fault}");
        fs::remove_file(secrets.join(DIGEST)).unwrap();
        assert_eq!(another_secret(data.path(), Role::Standalone), None);
    }

    #[test]
    fn a_given_secret_is_not_used_over_the_folders_own_until_somebody_has_put_that_one_away() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        fs::create_dir(&secrets).unwrap();
        // As a release left it that noted nothing.
        fs::write(secrets.join(MASTER), "a".repeat(32)).unwrap();
        let fault = another_than_before(data.path(), Role::Standalone, Some(secret("b"))).unwrap();
        assert!(
            fault.starts_with("CAUDAL_SECRET is not the secret that this data folder has in "),
            "{fault}"
        );
        assert!(
            fault.contains("to change the secret on purpose, move ") && !fault.contains(DIGEST),
            "{fault}"
        );
        assert_eq!(another_than_before(data.path(), Role::Standalone, Some(secret("a"))), None);
        assert_eq!(another_than_before(data.path(), Role::Standalone, None), None);

        remember(&secret("a"), &secrets);
        assert_eq!(another_than_before(data.path(), Role::Standalone, None), None);
        let fault = another_than_before(data.path(), Role::Standalone, Some(secret("b"))).unwrap();
        assert!(
            fault.contains("secrets/digest and ") && fault.contains("secrets/master away and keep them ("),
            "{fault}"
        );
        for file in [DIGEST, MASTER] {
            fs::remove_file(secrets.join(file)).unwrap();
        }
        assert_eq!(another_than_before(data.path(), Role::Standalone, Some(secret("b"))), None);
        // One that was given from the start.
        remember(&secret("b"), &secrets);
        let fault = another_than_before(data.path(), Role::Standalone, Some(secret("c"))).unwrap();
        assert!(
            fault.starts_with("CAUDAL_SECRET is not the one that ")
                && fault.contains("secrets/digest away ("),
            "{fault}"
        );
    }

    #[test]
    fn a_role_with_the_folder_of_a_standalone_platform_is_told_to_put_its_secret_away_and_keep_it() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        fs::create_dir(&secrets).unwrap();
        fs::write(secrets.join(MASTER), "a".repeat(32)).unwrap();
        for _ in ["of a release that noted nothing", "with a digest"] {
            let fault = another_than_before(data.path(), Role::Controller, Some(secret("b"))).unwrap();
            for expected in [
                "a standalone platform has made in this data folder",
                "give controller a data folder of its own",
                &format!("move {} away and keep it", secrets.display()),
                "Going over from standalone mode",
            ] {
                assert!(fault.contains(expected), "{fault}");
            }
            assert_eq!(another_than_before(data.path(), Role::Controller, Some(secret("a"))), None);
            remember(&secret("a"), &secrets);
        }
        // The controller's own secret from here on, beside a file that somebody has put back.
        fs::remove_file(secrets.join(DIGEST)).unwrap();
        remember(&secret("b"), &secrets);
        assert_eq!(another_than_before(data.path(), Role::Controller, Some(secret("b"))), None);
    }

    #[test]
    fn whoever_changes_the_secret_is_told_of_all_that_notes_the_former_one() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        remember(&secret("a"), &secrets);
        fs::write(secrets.join(KEYS), "").unwrap();
        let fault = || another_than_before(data.path(), Role::Standalone, Some(secret("b"))).unwrap();
        let [digest, keys, master] =
            [DIGEST, KEYS, MASTER].map(|file| secrets.join(file).display().to_string());
        assert!(fault().contains(&format!("move {digest} and {keys} away (")), "{}", fault());
        fs::write(secrets.join(MASTER), "c".repeat(32)).unwrap();
        assert!(
            fault().contains(&format!("move {digest}, {keys} and {master} away and keep them (")),
            "{}",
            fault()
        );
    }

    #[test]
    fn nobody_is_told_to_remove_a_secret() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        fs::create_dir(&secrets).unwrap();
        remember(&secret("a"), &secrets);
        for kept in [None, Some("b")] {
            if let Some(letter) = kept {
                fs::write(secrets.join(MASTER), letter.repeat(32)).unwrap();
            }
            for given in [None, Some("c")] {
                for role in [Role::Standalone, Role::Controller] {
                    let fault = another_than_before(data.path(), role, given.map(secret)).unwrap();
                    assert!(fault.contains(" away") && !fault.contains("remove"), "{fault}");
                }
            }
        }
    }
}
