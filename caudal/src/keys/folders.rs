//! A folder for each role.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::secrets::making::{Files, missing};
use crate::secrets::{HOLDERS, Holder, MasterSecret, private_file, read_file};

/// Makes what is missing, and adds each file that it makes to `made`.
pub fn complete(folder: &Path, master: Option<&MasterSecret>, made: &mut Vec<String>) -> anyhow::Result<()> {
    let locked = || {
        private_file::make_folder(folder)?;
        let opened = File::open(folder)?;
        opened.lock()?;
        io::Result::Ok(opened)
    };
    // Two that run at once would each make keys of their own for what neither has found.
    let _alone = locked().with_context(|| format!("cannot use {}", folder.display()))?;
    let there = HOLDERS.into_iter().map(|holder| Ok((holder, read(folder, holder)?)));
    let there = there.collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    for (holder, files) in missing(&there, master)? {
        write(folder, holder, &files, made)?;
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

fn write(folder: &Path, holder: Holder, files: &Files, made: &mut Vec<String>) -> anyhow::Result<()> {
    let own = folder.join(holder.name());
    for (name, text) in files {
        let path = own.join(name);
        // Only the list of public keys is ever there already.
        private_file::replace(&own, name, text.as_bytes())
            .with_context(|| format!("cannot make {}", path.display()))?;
        made.push(path.display().to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{KeySource, faults_of_folder};

    fn completed(folder: &Path) -> Vec<String> {
        let mut made = Vec::new();
        complete(folder, None, &mut made).unwrap();
        made
    }

    #[test]
    fn runs_at_the_same_time_make_keys_that_fit_together() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("keys");
        let made: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| completed(&folder))).collect();
            runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
        });
        let names: std::collections::BTreeSet<_> = made.iter().collect();
        assert_eq!(names.len(), made.len(), "each file was made once: {made:?}");
        assert_eq!(completed(&folder), [""; 0]);
        for holder in HOLDERS {
            let own = folder.join(holder.name());
            assert_eq!(faults_of_folder(&own, holder, &[]), [""; 0]);
        }
        let source = |holder: Holder| KeySource::Folder(folder.join(holder.name()));
        let stream = caudal_livestream::StreamId::generate();
        let shown = source(Holder::IngestRouter).router().unwrap().input;
        let expected = source(Holder::Controller).controller().unwrap().input;
        let epoch = caudal_livestream::Epoch(1);
        assert!(shown.proof(stream, epoch) == expected.proof(stream, epoch));
    }

    #[test]
    fn files_that_were_made_are_told_when_a_later_one_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let edge = folder.path().join("hls-edge");
        std::os::unix::fs::symlink("/nowhere/at/all", &edge).unwrap();
        let mut made = Vec::new();
        let error = complete(folder.path(), None, &mut made).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot make {}/", edge.display())), "{error}");
        assert!(made.iter().any(|file| file.ends_with("operator/assignments")), "{made:?}");
        assert!(!made.iter().any(|file| file.contains("hls-edge/")), "{made:?}");
        std::fs::remove_file(&edge).unwrap();
        let rest = completed(folder.path());
        assert!(rest.iter().any(|file| file.ends_with("hls-edge/feed")), "{rest:?}");
        assert!(!rest.iter().any(|file| made.contains(file)), "{rest:?}");
    }
}
