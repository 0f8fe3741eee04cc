//! How much memory this process may have, by its control group: a container's limit, or systemd's `MemoryMax`.

use std::fs;
use std::path::Path;

/// What part of it a role may take for media.
#[derive(Clone, Copy, Debug)]
pub struct MediaPart {
    eighths: usize,
}

impl MediaPart {
    /// Of a role that has its process for itself. The rest is for sockets, for what an allocator cannot use, and at an edge for
    /// what is being sent: of broadcasts that are over a fifth of the media's part, and as much of what running ones hold no longer.
    pub const ALONE: Self = Self { eighths: 5 };
    /// Of the edge and of the router of one machine, each: half is left to workers and encoders, which have the same limit.
    pub const BESIDE_ENCODERS: Self = Self { eighths: 2 };

    /// Bytes; none where there is no limit.
    pub fn bytes(self) -> Option<usize> {
        of_this_process().map(|limit| limit / 8 * self.eighths)
    }
}

/// Bytes; none where there is no limit, or none that can be read (control groups of version 1).
fn of_this_process() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    least(Path::new("/sys/fs/cgroup"), own_group(&groups)?)
}

/// The group of version 2, as in `0::/system.slice/caudal.service`; a container that sees only its own group has `/`.
fn own_group(groups: &str) -> Option<&Path> {
    groups.lines().find_map(|line| line.strip_prefix("0::/")).map(Path::new)
}

/// A group may have what it and each group above it may have.
fn least(root: &Path, group: &Path) -> Option<usize> {
    let limit =
        |group: &Path| fs::read_to_string(root.join(group).join("memory.max")).ok()?.trim().parse().ok();
    group.ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_limits_on_the_way_to_the_root_holds() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("system.slice/caudal.service");
        fs::create_dir_all(&inner).unwrap();
        let group = own_group("1:name=systemd:/x\n0::/system.slice/caudal.service\n").unwrap();
        for (of_slice, of_service, limit) in [
            ("", "", None),
            ("max\n", "max\n", None),
            ("max\n", "1073741824\n", Some(1_073_741_824)),
            ("536870912\n", "1073741824\n", Some(536_870_912)),
            ("536870912\n", "max\n", Some(536_870_912)),
        ] {
            fs::write(root.path().join("system.slice/memory.max"), of_slice).unwrap();
            fs::write(inner.join("memory.max"), of_service).unwrap();
            assert_eq!(least(root.path(), group), limit, "{of_slice:?} {of_service:?}");
        }
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_has_its_limit_at_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("memory.max"), "1048576\n").unwrap();
        assert_eq!(least(root.path(), own_group("0::/\n").unwrap()), Some(1_048_576));
        assert_eq!(own_group("4:memory:/docker/abc\n"), None, "version 1");
    }
}
