//! A folder for each role.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::secrets::making::{Files, missing};
use crate::secrets::{HOLDERS, Holder, MasterSecret, create, read_file};

/// Makes what is missing, and says which files that was.
pub fn complete(folder: &Path, master: Option<&MasterSecret>) -> anyhow::Result<Vec<String>> {
    let there = HOLDERS.into_iter().map(|holder| Ok((holder, read(folder, holder)?)));
    let there = there.collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    let mut made = Vec::new();
    for (holder, files) in missing(&there, master)? {
        write(folder, holder, &files, &mut made)?;
    }
    Ok(made)
}

/// The files of a holder that are there.
fn read(folder: &Path, holder: Holder) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for name in holder.files() {
        let path = folder.join(holder.name()).join(name);
        match read_file(&path) {
            Ok(text) => {
                files.insert(name.to_owned(), text);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(files)
}

fn write(folder: &Path, holder: Holder, files: &Files, made: &mut Vec<String>) -> anyhow::Result<()> {
    let own = folder.join(holder.name());
    for (name, text) in files {
        let path = own.join(name);
        let cannot = || format!("cannot make {}", path.display());
        if path.exists() {
            // The list of public keys has become longer.
            std::fs::write(&path, text).with_context(cannot)?;
        } else {
            create(&own, &path, text.as_bytes()).with_context(cannot)?;
        }
        made.push(path.display().to_string());
    }
    Ok(())
}
