//! All keys of an installation, made where they are missing. What is there is never changed, but for the worker's list of public
//! keys, which is no secret and follows from the controller's.

use std::collections::BTreeMap;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;

use super::key::{CONTROLLER_KEY, HOLDERS, Holder, Key};
use super::master::MasterSecret;
use super::ring::KeyRing;

/// The files that a holder has: text by name.
pub type Files = BTreeMap<String, String>;

/// The files to add to those of each of `holders`, so that each has all of its keys. A key that one of them has is the others'
/// too; one that nobody has is derived from `master`, or made of random numbers where there is none.
///
/// # Errors
/// When somebody would use a key that another one does not accept, or a file that is there cannot be used; says which.
pub fn missing(
    holders: &BTreeMap<Holder, Files>,
    master: Option<&MasterSecret>,
) -> anyhow::Result<BTreeMap<Holder, Files>> {
    let mut held: BTreeMap<Key, Vec<(Holder, KeyRing)>> = BTreeMap::new();
    for (holder, files) in holders {
        for key in holder.keys() {
            let Some(text) = files.get(key.file()) else { continue };
            let ring = KeyRing::read(*key, text)
                .map_err(|fault| anyhow::anyhow!("{} of {}: {fault}", key.file(), holder.name()))?;
            held.entry(*key).or_default().push((*holder, ring));
        }
    }
    let mut added: BTreeMap<Holder, Files> = BTreeMap::new();
    for holder in HOLDERS.into_iter().filter(|holder| holders.contains_key(holder)) {
        for key in holder.keys() {
            let rings = held.entry(*key).or_default();
            if rings.iter().any(|(other, _)| *other == holder) {
                continue;
            }
            let ring = match (rings.first(), master) {
                (Some((_, ring)), _) => ring.clone(),
                (None, Some(master)) => KeyRing::derived(*key, master.derive(key.purpose())),
                (None, None) => KeyRing::random(*key).context("random numbers")?,
            };
            added.entry(holder).or_default().insert(key.file().to_owned(), ring.text());
            rings.push((holder, ring));
        }
    }
    for (key, rings) in &held {
        ensure_accepted(*key, rings)?;
    }
    if let (Some(files), Some(rings)) = (holders.get(&Holder::TranscoderWorker), held.get(&Key::Assignments))
    {
        let mut listed = files.get(CONTROLLER_KEY).cloned().unwrap_or_default();
        for (_, ring) in rings {
            if let Some(longer) = with_public_halves(&listed, ring) {
                listed = longer;
                added
                    .entry(Holder::TranscoderWorker)
                    .or_default()
                    .insert(CONTROLLER_KEY.to_owned(), listed.clone());
            }
        }
    }
    Ok(added)
}

/// That whoever uses `key` uses one that all of `rings` accept.
fn ensure_accepted(key: Key, rings: &[(Holder, KeyRing)]) -> anyhow::Result<()> {
    for (user, used) in rings.iter().filter(|(holder, _)| holder.uses(key)) {
        for (other, accepted) in rings {
            anyhow::ensure!(
                accepted.accepted().any(|one| one == used.current()),
                "{file} of {user} begins with a key that {file} of {other} does not have; add that line to the latter, or copy one \
                 file over the other",
                file = key.file(),
                user = user.name(),
                other = other.name(),
            );
        }
    }
    Ok(())
}

/// The list of public keys `there` with those of `ring` that are not in it; none when all are.
fn with_public_halves(there: &str, ring: &KeyRing) -> Option<String> {
    let mut listed: Vec<String> = there.split_whitespace().map(str::to_owned).collect();
    let known = listed.len();
    for seed in ring.accepted() {
        let public = BASE64.encode(SigningKey::from_bytes(&seed).verifying_key().to_bytes());
        if !listed.contains(&public) {
            listed.push(public);
        }
    }
    (listed.len() > known).then(|| listed.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::KeySource;

    fn nobody() -> BTreeMap<Holder, Files> {
        HOLDERS.into_iter().map(|holder| (holder, Files::new())).collect()
    }

    fn together(
        mut there: BTreeMap<Holder, Files>,
        added: BTreeMap<Holder, Files>,
    ) -> BTreeMap<Holder, Files> {
        for (holder, files) in added {
            there.entry(holder).or_default().extend(files);
        }
        there
    }

    #[test]
    fn each_holder_gets_its_own_keys_and_no_others_and_what_two_share_is_the_same() {
        let made = missing(&nobody(), None).unwrap();
        for holder in HOLDERS {
            let mut expected: Vec<&str> = holder.keys().iter().map(|key| key.file()).collect();
            if holder == Holder::TranscoderWorker {
                expected.push(CONTROLLER_KEY);
            }
            expected.sort_unstable();
            assert_eq!(made[&holder].keys().collect::<Vec<_>>(), expected, "{}", holder.name());
        }
        let text = |holder: Holder, key: Key| &made[&holder][key.file()];
        assert_eq!(text(Holder::Operator, Key::Input), text(Holder::IngestRouter, Key::Input));
        assert_eq!(text(Holder::Api, Key::CallerEdge), text(Holder::HlsEdge, Key::CallerEdge));
        let mut all: Vec<_> = made.values().flat_map(|files| files.values()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 12, "11 keys and the public half of one");
        assert!(missing(&made, None).unwrap().is_empty(), "nothing is missing any more");
    }

    #[test]
    fn what_is_there_stays_and_is_everybodys() {
        let mut there = missing(&nobody(), None).unwrap();
        let whole = there.clone();
        there.get_mut(&Holder::IngestRouter).unwrap().clear();
        there.get_mut(&Holder::Api).unwrap().remove("caller-hls-edge");
        there.get_mut(&Holder::TranscoderWorker).unwrap().clear();
        let added = missing(&there, None).unwrap();
        assert_eq!(added.len(), 3);
        assert_eq!(together(there, added), whole);
    }

    #[test]
    fn keys_that_do_not_fit_together_are_named() {
        let mut there = missing(&nobody(), None).unwrap();
        there.get_mut(&Holder::IngestRouter).unwrap().insert("input".to_owned(), "ab".repeat(32));
        let fault = || missing(&there, None).unwrap_err().to_string();
        let unknown = "input of ingest-router begins with a key that input of operator does not have";
        assert!(fault().starts_with(unknown), "{}", fault());
        there.get_mut(&Holder::HlsEdge).unwrap().insert("feed".to_owned(), "short".to_owned());
        let fault = missing(&there, None).unwrap_err().to_string();
        assert!(fault.starts_with("feed of hls-edge: line 1: it has 5 characters"), "{fault}");
    }

    #[test]
    fn a_key_may_be_changed_one_file_after_the_other_as_long_as_nobody_uses_what_another_does_not_know() {
        let mut there = missing(&nobody(), None).unwrap();
        let (former, new) = (there[&Holder::Operator]["input"].clone(), format!("{}\n", "ab".repeat(32)));
        let mut with = |router: String, controllers: String| {
            there.get_mut(&Holder::IngestRouter).unwrap().insert("input".to_owned(), router);
            for holder in [Holder::Operator, Holder::Controller] {
                there.get_mut(&holder).unwrap().insert("input".to_owned(), controllers.clone());
            }
            missing(&there, None).map(|added| added.is_empty()).map_err(|fault| fault.to_string())
        };
        let accepts = format!("{former}{new}");
        let uses = format!("{new}{former}");
        // Only the router shows itself by it: in which order the others have the two makes no difference.
        for (router, controllers) in [
            (&former, &accepts),
            (&accepts, &accepts),
            (&uses, &accepts),
            (&uses, &uses),
            (&new, &accepts),
            (&new, &new),
        ] {
            assert_eq!(with(router.clone(), controllers.clone()), Ok(true), "{router}{controllers}");
        }
        for (router, controllers) in [(&uses, &former), (&new, &former), (&former, &new)] {
            assert!(with(router.clone(), controllers.clone()).is_err(), "{router}{controllers}");
        }
    }

    #[test]
    fn a_new_key_of_the_controller_is_told_to_workers_beside_the_former_one() {
        let mut there = missing(&nobody(), None).unwrap();
        let former = there[&Holder::Operator]["assignments"].clone();
        for holder in [Holder::Operator, Holder::Controller] {
            let both = format!("{former}{}", "cd".repeat(32));
            there.get_mut(&holder).unwrap().insert("assignments".to_owned(), both);
        }
        let added = missing(&there, None).unwrap();
        let listed = &added[&Holder::TranscoderWorker][CONTROLLER_KEY];
        assert_eq!(added.len(), 1);
        assert_eq!(listed.lines().count(), 2);
        assert_eq!(listed.lines().next().unwrap(), there[&Holder::TranscoderWorker][CONTROLLER_KEY]);
    }

    #[test]
    fn keys_in_files_are_those_that_a_master_secret_gives() {
        let master = || MasterSecret::for_test("a secret that all roles of an installation share");
        let made = missing(&nobody(), Some(&master())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in made.values().flatten() {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (derived, read) = (KeySource::Master(master()), KeySource::Folder(folder.path().to_owned()));
        let stream = caudal_livestream::StreamId::generate();
        let proof =
            |source: &KeySource| source.router().unwrap().input.proof(stream, caudal_livestream::Epoch(1));
        assert!(proof(&derived) == proof(&read));
        let assignments = |source: &KeySource| source.controller().unwrap().assignments.current().to_bytes();
        assert_eq!(assignments(&derived), assignments(&read));
        let secrets = |source: &KeySource| {
            use secrecy::ExposeSecret as _;
            let secrets = source.api().unwrap().secrets;
            let encryption = secrets.stream_key_encryption.into_iter();
            (
                secrets.jwt.expose_secret().to_owned(),
                secrets.stream_key_pepper.expose_secret().to_owned(),
                encryption.map(|(id, key)| (id, key.expose_secret().to_owned())).collect::<Vec<_>>(),
            )
        };
        assert_eq!(secrets(&derived), secrets(&read));
        let signed =
            |source: &KeySource| source.edge().unwrap().signer.sign("GET", "/", b"", std::time::UNIX_EPOCH);
        assert_eq!(signed(&derived), signed(&read));
    }
}
