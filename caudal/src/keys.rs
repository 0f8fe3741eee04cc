//! `caudal keys`: makes the keys of an installation whose roles each have their own, and tells what it made.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::secrets::making::{Files, missing};
use crate::secrets::{HOLDERS, Holder, MasterSecret, create, read_file};

/// Where to.
#[derive(Args, Clone, Debug)]
pub struct KeysSettings {
    /// Gets a folder for each role.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Makes what is missing.
///
/// # Errors
/// When a file cannot be read or written, or keys that are there do not fit together.
pub fn run(settings: &KeysSettings) -> anyhow::Result<()> {
    let master = MasterSecret::read()?;
    let there = HOLDERS.into_iter().map(|holder| Ok((holder, read(&settings.folder, holder)?)));
    let there = there.collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    let added = missing(&there, master.as_ref())?;
    for (holder, files) in &added {
        write(&settings.folder, *holder, files)?;
    }
    Ok(())
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

fn write(folder: &Path, holder: Holder, files: &Files) -> anyhow::Result<()> {
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
        println!("{}", path.display());
    }
    Ok(())
}
