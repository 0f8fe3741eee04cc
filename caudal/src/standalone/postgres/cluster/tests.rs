use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};

use tokio_util::sync::CancellationToken;

use super::super::installed::Installed;
use super::super::{Postgres, socket};
use super::*;

/// What somebody may have where the database belongs, how it comes about, and what must be said of it.
type Damage = (&'static str, fn(&Template, &Path), &'static str);

/// The same without a whole cluster to damage.
type Make = fn(&Path);

const DAMAGED: &[Damage] = &[
    ("a backup file alone", |_, c| put(c, "backup.dump", "everything"), "holds \"backup.dump\""),
    ("a new disk's lost+found", |_, c| put(&c.join("lost+found"), "#1", ""), "lost+found"),
    ("an empty PG_VERSION", |t, c| t.damage(c, "PG_VERSION", ""), "PG_VERSION is damaged"),
    ("zeroes for PG_VERSION", |t, c| t.damage(c, "PG_VERSION", "\0\0\0"), "PG_VERSION is damaged"),
    ("a folder for PG_VERSION", |_, c| put(&c.join("PG_VERSION"), "15", ""), "cannot read"),
    ("PG_VERSION alone", |_, c| put(c, "PG_VERSION", "15\n"), "global/pg_control"),
    ("no PG_VERSION", |t, c| t.without(c, "PG_VERSION"), "no PG_VERSION"),
    ("no control file", |t, c| t.without(c, "global/pg_control"), "global/pg_control"),
    ("an empty control file", |t, c| t.damage(c, "global/pg_control", ""), "global/pg_control"),
    ("no tables", |t, c| t.without(c, "base/1/PG_VERSION"), "base/1/PG_VERSION"),
    ("no write-ahead log", |t, c| t.without(c, "pg_wal/000000010000000000000001"), "pg_wal"),
    ("no settings", |t, c| t.without(c, "postgresql.conf"), "postgresql.conf"),
    ("a version that is too old", |t, c| t.damage(c, "PG_VERSION", "14\n"), "PostgreSQL 14"),
    ("a version that is not installed", |t, c| t.damage(c, "PG_VERSION", "99\n"), "postgresql-99"),
    (OF_ANOTHER, |t, c| chown(t.copy(c), Some(4711), Some(4711)).unwrap(), "chown -R"),
    ("a file", |_, c| fs::write(c, "not a folder").unwrap(), "not a folder"),
    ("a link to nowhere", |_, c| symlink("/nowhere/at/all", c).unwrap(), "leads nowhere"),
    ("a link to an empty folder", |_, c| link(c, |_| ()), "link to an empty folder"),
    (
        "a link to a damaged one",
        |_, c| link(c, |folder| put(folder, "PG_VERSION", "15")),
        "global/pg_control",
    ),
];
const OF_ANOTHER: &str = "somebody else's database";

#[tokio::test]
async fn what_is_no_whole_database_stops_the_start_and_stays_byte_for_byte() {
    let template = Template::new().await;
    // Only root can give a folder to somebody else.
    for (what, make, words) in DAMAGED.iter().filter(|(what, ..)| geteuid().is_root() || *what != OF_ANOTHER)
    {
        let data = data_folder();
        make(&template, &data.path().join("postgres"));
        let before = snapshot(data.path());
        let programs = fake_programs("rm -rf \"$2\"/*; exit 1");
        let error = match Postgres::start_with(
            &Installed::at(programs.path()),
            data.path(),
            |_| {},
            &CancellationToken::new(),
        )
        .await
        {
            Ok(_) => panic!("{what} was started"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains(words), "{what}: {error}");
        assert_eq!(snapshot(data.path()), before, "{what}");
    }
}

#[tokio::test]
async fn a_failed_initdb_takes_only_what_it_made() {
    let places: [(&str, Make); 2] =
        [("nothing", |_| ()), ("an empty folder", |cluster| fs::create_dir(cluster).unwrap())];
    for (what, make) in places {
        for initdb in ["exit 1", "touch \"$2\"/half; exit 1", "rm -rf \"$2\"; exit 1", "kill -9 $$"] {
            let data = data_folder();
            make(&data.path().join("postgres"));
            put(data.path(), "theirs", "theirs");
            let before = snapshot(data.path());
            let programs = fake_programs(initdb);
            assert!(
                Postgres::start_with(
                    &Installed::at(programs.path()),
                    data.path(),
                    |_| {},
                    &CancellationToken::new()
                )
                .await
                .is_err()
            );
            assert_eq!(snapshot(data.path()), before, "{what}, {initdb}");
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_filled_while_initdb_runs_is_not_replaced() {
    let data = data_folder();
    let cluster = data.path().join("postgres");
    let restore = format!("mkdir -m 777 -p {0}; echo restored > {0}/backup.dump", cluster.display());
    // initdb's user may not write beside the database.
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let programs = fake_programs(&restore);
    let error =
        Postgres::start_with(&Installed::at(programs.path()), data.path(), |_| {}, &CancellationToken::new())
            .await
            .err()
            .unwrap();
    assert!(error.to_string().contains("in place"), "{error}");
    assert_eq!(names(data.path()).unwrap(), ["postgres"]);
    assert_eq!(fs::read_to_string(cluster.join("backup.dump")).unwrap(), "restored\n");
}

#[tokio::test]
async fn a_start_that_was_killed_at_any_step_hinders_no_later_one_and_leaves_nothing() {
    let template = Template::new().await;
    for step in 0..6 {
        let data = data_folder();
        let owner = Owner::find().unwrap();
        let fresh = Fresh::create(data.path(), &owner).unwrap();
        match step {
            0 => fs::remove_dir(fresh.cluster()).unwrap(),
            1 => {}
            2 => put(&fresh.cluster(), "PG_VERSION", "15\n"),
            3 => drop(template.copy(&fresh.cluster())),
            // In place, but what it was made in is still there.
            4 => {
                template.copy(&fresh.cluster());
                fs::rename(fresh.cluster(), data.path().join("postgres")).unwrap();
            }
            _ => fs::create_dir(data.path().join("postgres")).unwrap(),
        }
        // Killed: nothing is cleaned up.
        let left = fresh.folder.keep();
        let postgres = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
        postgres.stop().await;
        assert!(!left.exists(), "step {step}");
        fs::remove_dir_all(socket::folder(data.path(), &owner)).unwrap();
        assert_eq!(names(data.path()).unwrap(), ["postgres"], "step {step}");
    }
}

#[test]
fn only_what_is_provably_half_made_by_us_is_removed() {
    let left: &[(&str, Make)] = &[
        ("somebody's folder of that name", |data| put(&data.join("postgres.new-mine"), "photo.jpg", "photo")),
        ("an empty one", |data| fs::create_dir(data.join("postgres.new-Zm3xQa")).unwrap()),
        ("a file", |data| put(data, "postgres.new-file", "file")),
        ("a link", |data| symlink("/", data.join("postgres.new-link")).unwrap()),
        ("an unfinished mark", |data| put(&killed(data), MARK, "postgres.new-")),
        ("ours with somebody's file beside", |data| put(&killed(data), "photo.jpg", "photo")),
        ("ours that a server ran on", |data| put(&killed(data).join(CLUSTER), "postmaster.opts", "postgres")),
        ("ours under another name", |data| fs::rename(killed(data), data.join("postgres.new-kept")).unwrap()),
        ("ours, for a later start, when it cannot be removed in full", |data| {
            let cluster = killed(data).join(CLUSTER);
            fs::remove_dir(&cluster).unwrap();
            fs::write(cluster, "not a folder").unwrap();
        }),
        ("a copy of ours", |data| {
            let ours = killed(data);
            copy(&ours, &data.join("copy"));
            // Elsewhere, so that the copy cannot get its number.
            fs::rename(&ours, data.join("elsewhere")).unwrap();
            fs::rename(data.join("copy"), ours).unwrap();
        }),
    ];
    for (what, make) in left {
        let data = data_folder();
        make(data.path());
        let before = snapshot(data.path());
        sweep(data.path());
        assert_eq!(snapshot(data.path()), before, "{what}");
    }
    let data = data_folder();
    killed(data.path());
    sweep(data.path());
    assert!(names(data.path()).unwrap().is_empty());
}

#[tokio::test]
async fn a_data_folder_that_postgresqls_user_cannot_pass_through_is_named_with_what_to_do() {
    let data = data_folder();
    let closed = data.path().join("closed");
    let inner = closed.join("data");
    fs::create_dir_all(&inner).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let owner = Owner::find().unwrap();
    let reachable = check_reachable(&inner, &owner).await;
    // Anybody else than root is PostgreSQL's user, too.
    if !geteuid().is_root() {
        return reachable.unwrap();
    }
    let error = reachable.unwrap_err().to_string();
    assert!(error.contains(&format!("chmod o+x {}", closed.display())), "{error}");
    assert_ne!(socket::folder(&inner, &owner).parent(), Some(inner.as_path()));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
    check_reachable(&inner, &owner).await.unwrap();
}

/// What a start leaves that is killed before `initdb` begins.
fn killed(data: &Path) -> PathBuf {
    Fresh::create(data, &Owner::find().unwrap()).unwrap().folder.keep()
}

fn data_folder() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    // PostgreSQL's user must be able to pass through.
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    data
}

/// A version 15 whose `initdb` is a shell script.
fn fake_programs(initdb: &str) -> TempDir {
    let root = data_folder();
    let bin = root.path().join("15/bin");
    fs::create_dir_all(&bin).unwrap();
    for (name, script) in [("initdb", initdb), ("postgres", "cat >/dev/null"), ("psql", "exit 1")] {
        put(&bin, name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    root
}

/// A cluster that the real `initdb` made.
struct Template {
    data: TempDir,
}

impl Template {
    async fn new() -> Self {
        let data = data_folder();
        make(&Installed::debian().newest().unwrap(), data.path(), &Owner::find().unwrap()).await.unwrap();
        Self { data }
    }

    fn copy<'a>(&self, cluster: &'a Path) -> &'a Path {
        copy(&self.data.path().join("postgres"), cluster);
        cluster
    }

    fn damage(&self, cluster: &Path, file: &str, text: &str) {
        fs::write(self.copy(cluster).join(file), text).unwrap();
    }

    fn without(&self, cluster: &Path, file: &str) {
        fs::remove_file(self.copy(cluster).join(file)).unwrap();
    }
}

/// A link at `cluster` to a folder that `fill` fills.
fn link(cluster: &Path, fill: fn(&Path)) {
    let elsewhere = cluster.with_file_name("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    Owner::find().unwrap().give(&open_folder(&elsewhere).unwrap()).unwrap();
    fill(&elsewhere);
    symlink(elsewhere, cluster).unwrap();
}

fn put(folder: &Path, name: &str, text: &str) {
    for missing in [folder.parent().unwrap(), folder].into_iter().filter(|folder| !folder.exists()) {
        fs::create_dir(missing).unwrap();
        // So that the wrong owner is not what stops the start.
        Owner::find().unwrap().give(&open_folder(missing).unwrap()).unwrap();
    }
    fs::write(folder.join(name), text).unwrap();
}

/// With modes, owners and times.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-aT").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Mode, user, group, time of change, and contents.
type Seen = (u32, u32, u32, (i64, i64), Vec<u8>);

/// Everything that can be seen of a folder: names, contents, modes, owners, times.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut found = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let contents = if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        // The data folder's own time tells that something was made in it, which may have gone again.
        let changed = if path == folder { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
        found.insert(path, (meta.mode(), meta.uid(), meta.gid(), changed, contents));
    }
    found
}
