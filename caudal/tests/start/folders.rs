//! The data folder that a start makes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::unistd::geteuid;

use crate::program::Start;

#[test]
fn a_data_folder_that_is_made_can_be_written_by_nobody_else_and_postgresqls_user_can_pass_through_it() {
    for umask in ["000", "002", "077"] {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        // The address is refused, but only once the folder is there.
        let start = Start::under_umask(umask).with("CAUDAL_DATA_DIR", &data).with("CAUDAL_BIND", "192.0.2.1");
        let ended = start.end();
        assert_eq!(ended.code, Some(1), "umask {umask}: {}", ended.stderr);
        // PostgreSQL runs as this user, unless that is root.
        let expected = if umask == "077" && !geteuid().is_root() { 0o700 } else { 0o755 };
        let mode = fs::metadata(&data).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected, "umask {umask}: {mode:o}");
    }
}
