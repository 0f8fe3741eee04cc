//! Secrets by `NAME` or `NAME_FILE`, never by flag.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use secrecy::SecretString;
use thiserror::Error;

/// Why a secret cannot be read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Both ways at once.
    #[error("{0} and {0}_FILE are both set; set one of them")]
    Both(&'static str),
    /// The file cannot be read.
    #[error("{name}_FILE: {path} cannot be read: {reason}", path = path.display())]
    Unreadable {
        /// The secret's name.
        name: &'static str,
        /// Where it was said to be.
        path: PathBuf,
        /// What happened.
        reason: std::io::Error,
    },
    /// The file says nothing.
    #[error("{name}_FILE: {path} is empty; expected the secret in it", path = path.display())]
    Empty {
        /// The secret's name.
        name: &'static str,
        /// Where it was said to be.
        path: PathBuf,
    },
    /// The file is far larger than any secret.
    #[error("{name}_FILE: {path} holds more than {LARGEST} bytes; expected the secret alone", path = path.display())]
    TooLarge {
        /// The secret's name.
        name: &'static str,
        /// Where it was said to be.
        path: PathBuf,
    },
    /// The value is no text.
    #[error("{0} is not valid UTF-8")]
    NotText(&'static str),
}

/// The secret `name`, from the variable itself or from the file that `{name}_FILE` names (one trailing line break is
/// not part of it); none when neither is set.
///
/// # Errors
/// [`SecretError`] when it is set and cannot be used.
pub fn read(name: &'static str) -> Result<Option<SecretString>, SecretError> {
    read_with(name, |variable| std::env::var_os(variable))
}

fn read_with(
    name: &'static str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<SecretString>, SecretError> {
    let file = variable(&format!("{name}_FILE")).filter(|value| !value.is_empty());
    let direct = variable(name).filter(|value| !value.is_empty());
    match (direct, file) {
        (Some(_), Some(_)) => Err(SecretError::Both(name)),
        (None, None) => Ok(None),
        (Some(value), None) => {
            let text = value.into_string().map_err(|_| SecretError::NotText(name))?;
            Ok(Some(text.into()))
        }
        (None, Some(path)) => in_file(name, PathBuf::from(path)).map(Some),
    }
}

fn in_file(name: &'static str, path: PathBuf) -> Result<SecretString, SecretError> {
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(read) if u64::try_from(read).is_ok_and(|read| read > LARGEST) => {
            return Err(SecretError::TooLarge { name, path });
        }
        Ok(_) => {}
        Err(reason) if reason.kind() == io::ErrorKind::InvalidData => return Err(SecretError::NotText(name)),
        Err(reason) => return Err(SecretError::Unreadable { name, path, reason }),
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let secret = line.strip_suffix('\r').unwrap_or(line);
    if secret.is_empty() { Err(SecretError::Empty { name, path }) } else { Ok(secret.to_owned().into()) }
}

/// Keys and URLs are far below; a device or a wrong file must not fill the memory.
const LARGEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::fs;

    fn read_in(environment: &[(&str, &str)]) -> Result<Option<String>, SecretError> {
        let given =
            |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        read_with("JWT_SECRET", given).map(|secret| secret.map(|secret| secret.expose_secret().to_owned()))
    }

    #[test]
    fn a_secret_comes_from_its_variable_or_from_the_file_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "in a file\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(read_in(&[("JWT_SECRET", "direct")]).unwrap().as_deref(), Some("direct"));
        assert_eq!(read_in(&[("JWT_SECRET_FILE", path)]).unwrap().as_deref(), Some("in a file"));
        assert_eq!(read_in(&[]).unwrap(), None);
        assert_eq!(read_in(&[("JWT_SECRET", "")]).unwrap(), None, "an empty variable is as good as none");
    }

    #[test]
    fn a_secret_given_twice_or_unreadable_stops_the_start_without_showing_itself() {
        let both = read_in(&[("JWT_SECRET", "hidden"), ("JWT_SECRET_FILE", "/x")]).unwrap_err();
        assert!(matches!(both, SecretError::Both(_)));
        assert!(!both.to_string().contains("hidden"));
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "\n").unwrap();
        for (path, complaint) in [
            ("/nowhere/at/all", "JWT_SECRET_FILE: /nowhere/at/all cannot be read: No such file"),
            (folder.path().to_str().unwrap(), "cannot be read: Is a directory"),
            (empty.to_str().unwrap(), "is empty"),
            ("/dev/zero", "holds more than"),
        ] {
            let refused = read_in(&[("JWT_SECRET_FILE", path)]).unwrap_err().to_string();
            assert!(refused.contains(complaint), "{refused}");
        }
    }
}
