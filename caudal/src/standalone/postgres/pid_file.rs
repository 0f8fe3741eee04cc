//! What `postmaster.pid` says of a server, and what is done with one that was there before this start.

use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// The lines of it that matter here.
#[derive(Debug)]
pub struct PidFile {
    pub pid: Pid,
    /// None while the server is preparing, and for one without a unix socket.
    pub socket_folder: Option<PathBuf>,
    pub state: State,
}

/// What the server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not opened its sockets yet, and so does not say where they are.
    Preparing,
    /// It does not take connections yet.
    Starting,
    Ready,
    /// It was told to end, and takes no connections any more.
    Stopping,
}

/// What is done with a server of an earlier run.
#[derive(Debug, PartialEq, Eq)]
pub enum Disposition {
    TakenUp,
    /// It ends by itself, or does not say yet whose it is.
    AwaitedUntilGone,
    /// It is ours and runs, but nobody can connect to it.
    Ended,
    /// Somebody else started it, with the socket in this folder, or without one.
    NotOurs(Option<PathBuf>),
}

/// Whether a server's socket is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    There,
    Missing,
}

impl PidFile {
    /// None while the server has not written it in full.
    pub fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(Self {
            pid: Pid::from_raw(lines.first()?.parse().ok()?),
            socket_folder: lines.get(4).filter(|folder| !folder.is_empty()).map(PathBuf::from),
            state: match lines.get(7).copied() {
                Some("ready") => State::Ready,
                Some("stopping") => State::Stopping,
                // The line is written once the sockets are open.
                None | Some("") => State::Preparing,
                Some(_) => State::Starting,
            },
        })
    }
}

impl Disposition {
    /// Of the server `pid`, which lives and uses our database. `said` is what the file says now, and `ours` the folder that
    /// our own servers have their socket in.
    pub fn of(pid: Pid, said: Option<&PidFile>, ours: &Path, socket: Socket) -> Self {
        // Removing the file is the last thing that a server does.
        let Some(said) = said.filter(|said| said.pid == pid) else { return Self::AwaitedUntilGone };
        match (said.state, said.socket_folder.as_deref()) {
            (State::Preparing | State::Stopping, _) => Self::AwaitedUntilGone,
            // Ours always have a unix socket; one that listens on TCP alone was started by hand.
            (_, folder) if folder != Some(ours) => Self::NotOurs(folder.map(Path::to_owned)),
            (State::Ready, _) if socket == Socket::Missing => Self::Ended,
            (State::Starting | State::Ready, _) => Self::TakenUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 15 writes it.
    fn text(socket_folder: &str, state: &str) -> String {
        format!("4711\n/d/postgres\n1790000000\n5432\n{socket_folder}\n\n  1234567     32768\n{state}\n")
    }

    #[test]
    fn a_server_of_an_earlier_run_is_taken_up_only_while_it_can_be_connected_to_and_does_not_end() {
        for (socket_folder, state, socket, expected) in [
            ("/s", "ready   ", Socket::There, Disposition::TakenUp),
            ("/s", "ready   ", Socket::Missing, Disposition::Ended),
            ("/s", "starting", Socket::There, Disposition::TakenUp),
            ("/s", "starting", Socket::Missing, Disposition::TakenUp),
            ("/s", "stopping", Socket::There, Disposition::AwaitedUntilGone),
            ("/s", "stopping", Socket::Missing, Disposition::AwaitedUntilGone),
            ("/other", "stopping", Socket::There, Disposition::AwaitedUntilGone),
            ("/other", "ready   ", Socket::There, Disposition::NotOurs(Some("/other".into()))),
            ("/other", "ready   ", Socket::Missing, Disposition::NotOurs(Some("/other".into()))),
            // Without a unix socket, as somebody starts it who wants to be alone with it.
            ("", "ready   ", Socket::Missing, Disposition::NotOurs(None)),
            ("", "ready   ", Socket::There, Disposition::NotOurs(None)),
            ("", "starting", Socket::Missing, Disposition::NotOurs(None)),
            // Before the sockets are opened.
            ("", "", Socket::Missing, Disposition::AwaitedUntilGone),
            ("", "", Socket::There, Disposition::AwaitedUntilGone),
        ] {
            let said = PidFile::parse(&text(socket_folder, state)).unwrap();
            let disposition = Disposition::of(Pid::from_raw(4711), Some(&said), Path::new("/s"), socket);
            assert_eq!(disposition, expected, "{socket_folder} {state} {socket:?}");
        }
    }

    #[test]
    fn a_server_whose_file_is_gone_or_another_servers_is_awaited_until_it_is_gone() {
        let others = PidFile::parse(&text("/s", "ready   ")).unwrap();
        for said in [None, Some(&others)] {
            let disposition = Disposition::of(Pid::from_raw(815), said, Path::new("/s"), Socket::There);
            assert_eq!(disposition, Disposition::AwaitedUntilGone, "{said:?}");
        }
    }
}
