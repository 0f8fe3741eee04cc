//! A log file a day, `caudal.YYYY-MM-DD.log` by UTC, in a folder that may become full, go away and come back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, Utc};

/// Appends to the file of the day. Writing never fails: what cannot be written is left out, which is said once on standard
/// error, and again when it is over.
pub struct DailyFile {
    folder: PathBuf,
    today: fn() -> NaiveDate,
    open: Option<Open>,
    failing: bool,
}

struct Open {
    day: NaiveDate,
    path: PathBuf,
    file: File,
}

impl DailyFile {
    /// Makes `folder` if it is not there, and opens the file of the day.
    ///
    /// # Errors
    /// When either cannot be.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Self::by_clock(folder, || Utc::now().date_naive())
    }

    fn by_clock(folder: &Path, today: fn() -> NaiveDate) -> io::Result<Self> {
        let mut daily = Self { folder: folder.to_owned(), today, open: None, failing: false };
        daily.current()?;
        Ok(daily)
    }

    /// The file of the day. A file that is not at its path any more, because somebody removed it or its folder or moved it
    /// away, is made anew: what is written to a removed file is lost.
    fn current(&mut self) -> io::Result<&mut File> {
        let day = (self.today)();
        let kept = self.open.take().filter(|open| open.day == day && open.is_at_its_path());
        let open = if let Some(open) = kept {
            open
        } else {
            fs::create_dir_all(&self.folder)?;
            let path = self.folder.join(file_name(day));
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            remove_old(&self.folder, day);
            Open { day, path, file }
        };
        Ok(&mut self.open.insert(open).file)
    }
}

impl Open {
    fn is_at_its_path(&self) -> bool {
        let (Ok(there), Ok(open)) = (fs::metadata(&self.path), self.file.metadata()) else { return false };
        (there.dev(), there.ino()) == (open.dev(), open.ino())
    }
}

impl Write for DailyFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.current().and_then(|file| file.write_all(line));
        match (written, self.failing) {
            (Err(error), false) => {
                say(&format!("log files in {} cannot be written: {error}", self.folder.display()));
            }
            (Ok(()), true) => {
                say(&format!("log files in {} are written again", self.folder.display()));
            }
            (Err(_), true) | (Ok(()), false) => return Ok(line.len()),
        }
        self.failing = !self.failing;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Not through the log itself, whose file it is about.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "caudal: {what}");
}

fn file_name(day: NaiveDate) -> String {
    format!("caudal.{}.log", day.format("%Y-%m-%d"))
}

fn day_of(name: &str) -> Option<NaiveDate> {
    let day = name.strip_prefix("caudal.")?.strip_suffix(".log")?;
    NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().filter(|day| file_name(*day) == name)
}

/// Removes the oldest files that this module has named, but never the one of `today`, which is being written. Everything
/// else in the folder is somebody else's.
fn remove_old(folder: &Path, today: NaiveDate) {
    let names = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut days: Vec<NaiveDate> =
        names.filter_map(|name| day_of(&name)).filter(|day| *day != today).collect();
    // Days to come are of a clock that was wrong. They go first, or they would take the place of each day that ends.
    days.sort_unstable_by_key(|day| (*day < today, *day));
    let surplus = (days.len() + 1).saturating_sub(KEPT_FILES);
    for day in days.into_iter().take(surplus) {
        // What cannot be removed now is tried again tomorrow.
        let _ = fs::remove_file(folder.join(file_name(day)));
    }
}

/// Two weeks.
const KEPT_FILES: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn new_year() -> NaiveDate {
        NaiveDate::from_ymd_opt(2027, 1, 1).unwrap()
    }

    #[test]
    fn the_last_fourteen_days_are_kept_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        for day in 1..=20 {
            fs::write(folder.path().join(format!("caudal.2026-12-{day:02}.log")), "old\n").unwrap();
        }
        for other in ["caudal.log", "caudal.2020-01-01.log.gz", "caudal.notes.log", "caudal.2020-1-1.log"] {
            fs::write(folder.path().join(other), "somebody's\n").unwrap();
        }
        DailyFile::by_clock(folder.path(), new_year).unwrap().write_all(b"new\n").unwrap();
        let names = names(folder.path());
        assert_eq!(names.iter().filter(|name| day_of(name).is_some()).count(), KEPT_FILES);
        assert!(
            names.contains(&"caudal.2027-01-01.log".to_owned())
                && names.contains(&"caudal.2026-12-08.log".to_owned())
        );
        assert_eq!(names.iter().filter(|name| day_of(name).is_none()).count(), 4);
    }

    #[test]
    fn files_of_days_to_come_are_removed_before_those_that_are_being_written_or_were() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("caudal.2026-12-31.log"), "").unwrap();
        for day in 1..=14 {
            fs::write(folder.path().join(format!("caudal.2030-01-{day:02}.log")), "").unwrap();
        }
        let mut daily = DailyFile::by_clock(folder.path(), new_year).unwrap();
        for line in [b"one\n", b"two\n"] {
            daily.write_all(line).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.path().join("caudal.2027-01-01.log")).unwrap(), "one\ntwo\n");
        let names = names(folder.path());
        assert_eq!(names.len(), KEPT_FILES);
        assert!(names.contains(&"caudal.2026-12-31.log".to_owned()), "{names:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_made_and_one_that_was_removed_is_made_anew() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("var/log");
        let mut daily = DailyFile::by_clock(&folder, new_year).unwrap();
        daily.write_all(b"one\n").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        daily.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(folder.join("caudal.2027-01-01.log")).unwrap(), "two\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut daily = DailyFile::by_clock(folder.path(), new_year).unwrap();
        daily.write_all(b"one\n").unwrap();
        let (path, moved) = (folder.path().join("caudal.2027-01-01.log"), folder.path().join("moved"));
        fs::rename(&path, &moved).unwrap();
        daily.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(moved).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "two\n");
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("caudal.2027-01-01.log")).unwrap();
        let mut daily = DailyFile::by_clock(folder.path(), new_year).unwrap();
        daily.write_all(b"lost\n").unwrap();
        assert!(daily.failing);
        fs::remove_file(folder.path().join("caudal.2027-01-01.log")).unwrap();
        daily.write_all(b"kept\n").unwrap();
        assert!(!daily.failing);
        assert_eq!(fs::read_to_string(folder.path().join("caudal.2027-01-01.log")).unwrap(), "kept\n");
    }

    #[test]
    fn a_folder_that_is_a_file_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(DailyFile::open(&file).is_err());
    }
}
