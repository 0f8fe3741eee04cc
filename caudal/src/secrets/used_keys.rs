//! Which installation's keys a data folder is used with. It is noted there, so that other ones are noticed at a start.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::held::KeySource;
use super::private_file;
use super::used_secret::{SECRETS, given_by};
use super::{Key, MasterSecret};
use crate::settings::Role;

/// Notes in `folder` which keys are in use, in the place of those that were: [`another_keys`] has found one of them among
/// these.
pub fn remember_keys(keys: &KeySource, folder: &Path) {
    let noted = keys.installations().and_then(|ids| {
        let text: String = ids.into_iter().map(|id| id + "\n").collect();
        let is_noted = fs::read_to_string(folder.join(KEYS)).is_ok_and(|noted| noted == text);
        if is_noted { Ok(()) } else { Ok(private_file::replace(folder, KEYS, text.as_bytes())?) }
    });
    if let Err(error) = noted {
        let path = folder.join(KEYS);
        tracing::warn!(path = %path.display(), %error, "it cannot be noted which keys are in use");
    }
}

/// The same where a folder of `keys` was found in use at an earlier start: while a key is changed, what is accepted changes.
pub fn remember_changed_keys(keys: &KeySource, folder: &Path) {
    if folder.join(KEYS).exists() {
        remember_keys(keys, folder);
    }
}

/// What is wrong when none of the keys that a start would use is among those that the data folder `data` was used with before.
/// `given` is the folder of keys with the name of its setting; without it, all follow from a secret.
pub fn another_keys(data: &Path, role: Role, given: Option<(&Path, &str)>) -> Option<String> {
    // Both at once, or a secret that cannot be read, are another fault.
    let secret = MasterSecret::read().ok()?;
    let source = match (given, secret) {
        (Some((folder, _)), None) => Some(KeySource::Folder(folder.to_owned())),
        (None, Some(secret)) => Some(KeySource::Master(secret)),
        (None, None) if role == Role::Standalone => {
            MasterSecret::kept_in(&data.join(SECRETS)).ok().map(KeySource::Master)
        }
        (Some(_), Some(_)) | (None, None) => return None,
    };
    others_than_before(data, source.as_ref(), given)
}

/// Without a `source`, standalone mode would make a secret.
fn others_than_before(
    data: &Path,
    source: Option<&KeySource>,
    given: Option<(&Path, &str)>,
) -> Option<String> {
    let path = data.join(SECRETS).join(KEYS);
    let noted = fs::read_to_string(&path).ok()?;
    let noted: BTreeSet<&str> = noted.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let used = match source {
        // A folder that cannot be read is another fault.
        Some(source) => source.installations().ok()?,
        None => Vec::new(),
    };
    if used.iter().any(|id| noted.contains(id.as_str())) {
        return None;
    }
    let (data, path, file) = (data.display(), path.display(), Key::Assignments.file());
    let (fault, cure) = match (given, source) {
        (Some((folder, name)), _) => (
            format!("{name} is {}: {data} was used with other keys before", folder.display()),
            format!(
                "give the folder with those keys, or a data folder of its own; a new key in {file} stands beside the former one at first \
                 (docs/configuration.md, A folder of keys for each role)"
            ),
        ),
        (None, Some(_)) => (
            format!("{data} was used with other keys before than those that {} gives", given_by()),
            "set CAUDAL_KEYS or the secret as it was, or give a data folder of its own".to_owned(),
        ),
        (None, None) => (
            format!("{data} was used with keys before, and neither they nor a secret are given"),
            "set CAUDAL_SECRET as it was, or give a data folder of its own".to_owned(),
        ),
    };
    Some(format!(
        "{fault}. With other keys, its broadcasts and those in storage are not known as this installation's any more. So {cure}; or, to \
         use other keys on purpose, move {path} away"
    ))
}

/// Which keys are in use: the ids that they give the installation, one a line. They say nothing of the keys.
pub const KEYS: &str = "keys";

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of keys whose file `assignments` has keys of these letters.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn of(letters: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            folder.set(letters);
            folder
        }

        fn set(&self, letters: &[&str]) {
            let lines: String = letters.iter().map(|letter| letter.repeat(64) + "\n").collect();
            fs::write(self.0.path().join("assignments"), lines).unwrap();
        }

        fn source(&self) -> KeySource {
            KeySource::Folder(self.0.path().to_owned())
        }

        fn fault(&self, data: &Path) -> Option<String> {
            others_than_before(data, Some(&self.source()), Some((self.0.path(), "--keys")))
        }
    }

    fn master(letter: &str) -> KeySource {
        KeySource::Master(MasterSecret::for_test(&letter.repeat(32)))
    }

    #[test]
    fn other_keys_than_the_ones_before_are_noticed_and_the_words_name_what_to_move_away() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        let (own, other) = (Folder::of(&["a"]), Folder::of(&["b"]));
        assert_eq!(own.fault(data.path()), None, "a first start");
        remember_changed_keys(&own.source(), &secrets);
        assert_eq!(other.fault(data.path()), None, "nothing was in use yet");
        remember_keys(&own.source(), &secrets);
        assert_eq!(own.fault(data.path()), None);
        let fault = other.fault(data.path()).unwrap();
        let move_away = format!("move {} away", secrets.join(KEYS).display());
        assert!(fault.starts_with("--keys is ") && fault.contains(&move_away), "{fault}");
        fs::remove_file(secrets.join(KEYS)).unwrap();
        assert_eq!(other.fault(data.path()), None);
    }

    #[test]
    fn a_key_is_changed_as_the_documentation_says_and_the_former_one_is_another_then() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        let keys = Folder::of(&["a"]);
        remember_keys(&keys.source(), &secrets);
        for step in [&["a", "b"][..], &["b", "a"], &["b"]] {
            keys.set(step);
            assert_eq!(keys.fault(data.path()), None, "{step:?}");
            remember_changed_keys(&keys.source(), &secrets);
        }
        assert!(Folder::of(&["a"]).fault(data.path()).is_some());
    }

    #[test]
    fn a_secret_and_keys_in_a_folder_are_told_apart_unless_the_keys_were_made_of_it() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        remember_keys(&master("a"), &secrets);
        assert!(Folder::of(&["a"]).fault(data.path()).is_some());
        let made = Folder::of(&[]);
        let ring = super::super::ring::KeyRing::derived(
            Key::Assignments,
            MasterSecret::for_test(&"a".repeat(32)).derive(Key::Assignments.purpose()),
        );
        fs::write(made.0.path().join("assignments"), ring.text()).unwrap();
        assert_eq!(made.fault(data.path()), None);
        let by_secret = |source: Option<KeySource>| others_than_before(data.path(), source.as_ref(), None);
        assert_eq!(by_secret(Some(master("a"))), None);
        assert!(by_secret(Some(master("b"))).unwrap().contains("than those that CAUDAL_SECRET gives"));
        assert!(by_secret(None).unwrap().contains("neither they nor a secret are given"));
    }
}
