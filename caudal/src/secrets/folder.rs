//! `CAUDAL_KEYS`: a role's own keys, a file each, as Kubernetes mounts a Secret.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::key::{Holder, Key};
use super::ring::KeyRing;

/// What is wrong with the keys of `holder` in `folder`, but for those that are `needless`: a line for each file.
pub fn faults_of_folder(folder: &Path, holder: Holder, needless: &[Key]) -> Vec<String> {
    match folder.metadata() {
        Ok(there) if there.is_dir() => {
            let needed: Vec<_> = holder.keys().iter().filter(|key| !needless.contains(key)).collect();
            let own = folder.join(holder.name());
            // As `caudal keys` makes it.
            if own.is_dir() && !needed.iter().any(|key| folder.join(key.file()).exists()) {
                return vec![format!(
                    "it has a folder for each role; expected that of this one, {}",
                    own.display()
                )];
            }
            needed.into_iter().filter_map(|key| read_key(folder, *key).err()).collect()
        }
        Ok(_) => vec!["it is a file; expected a folder".to_owned()],
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            vec![format!("there is no such folder; expected the one with the keys of {}", holder.name())]
        }
        // There may be one that this user cannot look into.
        Err(error) => vec![error.to_string()],
    }
}

/// A key of `folder`.
///
/// # Errors
/// In words, which show nothing of a key.
pub fn read_key(folder: &Path, key: Key) -> Result<KeyRing, String> {
    let text = read_file(&folder.join(key.file())).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file {} in it{}", key.file(), others(folder)),
        io::ErrorKind::InvalidData => format!("{}: it is no text", key.file()),
        _ => format!("{} cannot be read: {error}", key.file()),
    })?;
    KeyRing::read(key, &text).map_err(|fault| format!("{}: {fault}", key.file()))
}

/// The text of a file that is as small as files of keys are.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST) {
        return Err(io::Error::other(format!("it holds more than {LARGEST} bytes")));
    }
    Ok(text)
}

/// What there is instead, which shows a misspelt name, and a folder that is another role's.
fn others(folder: &Path) -> String {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    // Kubernetes' own links begin with a dot.
    let mut names: Vec<_> =
        names.filter_map(|name| name.into_string().ok()).filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MOST_NAMES);
    names.truncate(MOST_NAMES);
    match (names.is_empty(), more) {
        (true, _) => ", and nothing else".to_owned(),
        (false, 0) => format!("; there are {}", names.join(", ")),
        (false, more) => format!("; there are {}, and {more} more", names.join(", ")),
    }
}

/// A file of a hundred keys is far smaller.
const LARGEST: u64 = 64 * 1024;
const MOST_NAMES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_folder_is_found_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("imput", &"ab".repeat(32));
        write("caller-ingest-router", "short");
        fs::create_dir(folder.path().join("..data")).unwrap();
        let faults = faults_of_folder(folder.path(), Holder::IngestRouter, &[]);
        assert_eq!(
            faults,
            [
                "there is no file input in it; there are caller-ingest-router, imput",
                "caller-ingest-router: line 1: it has 5 characters; expected 64 hex digits, as `openssl rand -hex 32` makes them",
                "there is no file caller-api in it; there are caller-ingest-router, imput",
            ]
        );
        for key in Holder::IngestRouter.keys() {
            write(key.file(), &"ab".repeat(32));
        }
        assert_eq!(faults_of_folder(folder.path(), Holder::IngestRouter, &[]), [""; 0]);
        let words = |name: &str| faults_of_folder(&folder.path().join(name), Holder::Api, &[]);
        assert_eq!(words("none"), ["there is no such folder; expected the one with the keys of api"]);
        assert_eq!(words("input"), ["it is a file; expected a folder"]);
        assert_eq!(
            words("input/below"),
            ["Not a directory (os error 20)"],
            "no word of its own for each error"
        );
    }

    #[test]
    fn the_folder_of_all_roles_is_told_from_a_folder_of_keys_and_the_right_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("hls-edge");
        fs::create_dir(&own).unwrap();
        let faults = || faults_of_folder(folder.path(), Holder::HlsEdge, &[]);
        assert_eq!(
            faults(),
            [format!("it has a folder for each role; expected that of this one, {}", own.display())]
        );
        assert!(faults_of_folder(folder.path(), Holder::Api, &[])[0].starts_with("there is no file jwt"));
        fs::write(folder.path().join("feed"), "ab".repeat(32)).unwrap();
        assert_eq!(faults().len(), 2, "it is a role's own: {:?}", faults());
    }

    #[test]
    fn a_key_that_is_given_elsewhere_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        for key in Holder::Api.keys().iter().filter(|key| **key != Key::Jwt) {
            let id = if key.has_ids() { "a:" } else { "" };
            fs::write(folder.path().join(key.file()), format!("{id}{}", "ab".repeat(32))).unwrap();
        }
        assert_eq!(faults_of_folder(folder.path(), Holder::Api, &[Key::Jwt]), [""; 0]);
        assert_eq!(faults_of_folder(folder.path(), Holder::Api, &[]).len(), 1);
    }
}
