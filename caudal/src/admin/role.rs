//! Who is an admin: with the database at hand, or through the platform that has it.

use std::ffi::OsStr;
use std::path::PathBuf;

use caudal_api::WantedRole;
use secrecy::SecretString;

use super::message::{Answer, Request};
use super::{ask, target, words};
use crate::settings::Faults;

/// Makes the person called `name` an admin, or takes that away, in `database` where it is at hand, and says which one that was. `data` is
/// the data folder, where it is needed.
///
/// # Errors
/// [`Faults`] when `name` is no username, or the settings lead nowhere.
pub async fn set(
    name: &OsStr,
    admin: bool,
    database: Option<SecretString>,
    data: impl FnOnce() -> Result<PathBuf, Faults>,
) -> Result<Result<String, String>, Faults> {
    let name = username(name)?;
    if let Some(url) = database {
        let wanted = if admin { WantedRole::Admin } else { WantedRole::User };
        let told = caudal_api::set_role_by_name(&url, name, wanted).await;
        let Some(shown) = caudal_api::shown_database(&url) else { return Ok(told) };
        let add = |words: String| format!("{words}\n(DATABASE_URL: the database {shown})");
        return Ok(told.map(add).map_err(add));
    }
    let request = Request::SetRole { name: name.to_owned(), admin };
    Ok(match ask(&data()?, &request).await {
        Ok(Answer::Told { words }) => Ok(words),
        Ok(Answer::Refused { reason }) => Err(reason),
        Ok(_) => Err(words::STRANGE.to_owned()),
        Err(obstacle) => Err(obstacle),
    })
}

/// What cannot be one is not looked for, and is not shown where it may be a stream key.
fn username(typed: &OsStr) -> Result<&str, Faults> {
    let text = typed.to_str().unwrap_or_default().trim().trim_start_matches('@');
    if target::is_username(text) {
        return Ok(text);
    }
    let shown = target::shown(text).unwrap_or_else(|| "that".to_owned());
    Err(Faults(vec![format!(
        "{shown} is no username: expected 3 to 25 letters, digits and underscores, as in ana"
    )]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_taken_as_it_is_typed_and_nothing_that_is_none() {
        for typed in ["ana", "@ana", " Ana_1 "] {
            assert_eq!(username(OsStr::new(typed)).unwrap(), typed.trim().trim_start_matches('@'));
        }
        let key = format!("live_{}", "x".repeat(32));
        for typed in ["", "an", "ana@example.test", "ana maria", &key] {
            let said = username(OsStr::new(typed)).unwrap_err().to_string();
            assert!(said.contains("is no username") && !said.contains("xxx"), "{said}");
        }
    }
}
