//! Secrets by `NAME` or `NAME_FILE`, never by flag.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use secrecy::SecretString;
use thiserror::Error;

/// Why a secret could not be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Both ways at once.
    #[error("{0} and {0}_FILE are both set; set one of them")]
    Both(&'static str),
    /// The file is not to be read.
    #[error("{name}_FILE: cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// The secret's name.
        name: &'static str,
        /// Where it was said to be.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// It says nothing.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// It is no text.
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
    let text = match (direct, file) {
        (Some(_), Some(_)) => return Err(SecretError::Both(name)),
        (None, None) => return Ok(None),
        (Some(value), None) => value.into_string().map_err(|_| SecretError::NotText(name))?,
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let text =
                fs::read_to_string(&path).map_err(|source| SecretError::Unreadable { name, path, source })?;
            text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t).to_owned()).unwrap_or(text)
        }
    };
    if text.is_empty() { Err(SecretError::Empty(name)) } else { Ok(Some(text.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

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
        assert!(matches!(
            read_in(&[("JWT_SECRET_FILE", "/nowhere/at/all")]),
            Err(SecretError::Unreadable { .. })
        ));
    }
}
