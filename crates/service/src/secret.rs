//! Secrets by `NAME` or `NAME_FILE`, never by flag.

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
    let file = std::env::var_os(format!("{name}_FILE")).filter(|value| !value.is_empty());
    let direct = std::env::var_os(name).filter(|value| !value.is_empty());
    let text = match (direct, file) {
        (Some(_), Some(_)) => return Err(SecretError::Both(name)),
        (None, None) => return Ok(None),
        (Some(value), None) => value.into_string().map_err(|_| SecretError::NotText(name))?,
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let text = fs::read_to_string(&path)
                .map_err(|source| SecretError::Unreadable { name, path, source })?;
            text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t).to_owned()).unwrap_or(text)
        }
    };
    if text.is_empty() { Err(SecretError::Empty(name)) } else { Ok(Some(text.into())) }
}
