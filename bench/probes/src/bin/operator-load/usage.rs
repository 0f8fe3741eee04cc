//! What processes take, as /proc shows it.

use std::path::Path;

use serde::Serialize;

/// What one process has taken so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    /// Seconds of a core, its own and the kernel's for it.
    pub(crate) cpu_seconds: f64,
    /// What it has in memory now.
    pub(crate) rss_mib: f64,
    /// The most that it has had.
    pub(crate) peak_mib: f64,
}

/// What a process takes; nothing of one that is not there.
pub(crate) fn usage(pid: u32) -> Usage {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let mib = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    };
    let stat = read("stat");
    // The name before it may have blanks.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Usage { cpu_seconds: ticks.sum::<f64>() / TICKS, rss_mib: mib("VmRSS:"), peak_mib: mib("VmHWM:") }
}

/// The process that was started as `name` in `folder`.
pub(crate) fn process(name: &str, folder: &Path) -> Option<u32> {
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        let program = String::from_utf8_lossy(command.split(|byte| *byte == 0).next()?).into_owned();
        let is_named = Path::new(&program).file_name().is_some_and(|file| file == name);
        let is_there = std::fs::read_link(entry.path().join("cwd")).ok()? == folder;
        (is_named && is_there).then_some(pid)
    })
}

/// In a second, on every Linux that matters.
const TICKS: f64 = 100.0;
