//! The data and the run directory: made, locked, and emptied for an ephemeral server.
//!
//! Holds: one server per directory. What an ephemeral server left when it was killed is removed by the next start in the
//! same directory, whoever that is; a directory with lasting state is never taken for an ephemeral one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Marks a data directory whose content goes with its server.
const EPHEMERAL_MARK: &str = "ephemeral";
/// In the run directory: the number of the form in which tasks' specs, sockets and network records lie there.
const FORMAT_FILE: &str = "format";
/// What this build writes and reads; see `src/shim/protocol.rs` for when it grows. No file means 1.
const FORMAT: u32 = 1;
/// Below the run directory: what living tasks have there.
const OF_TASKS: [&str; 2] = ["tasks", "network/tasks"];
/// The kernel's flag of a process that ends, in its `stat`.
const PF_EXITING: u32 = 0x4;
/// Beside the store's own lock, because this one covers the run directory and the kernel as well.
const LOCK_FILE: &str = "server.lock";

/// A busy machine may keep a process from running for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    #[error("prepare the directory {path}")]
    Prepare { path: PathBuf, source: io::Error },
    #[error("{path} is used by another server (process {pid}): give this one its own --data-dir, --run-dir and --node")]
    Taken { path: PathBuf, pid: String },
    #[error("{path} holds the state of a lasting server; an --ephemeral one would remove it: give another --data-dir")]
    Lasting { path: PathBuf },
    #[error(
        "{path} has tasks of a newer version (format {found}, this one knows {FORMAT}): they go on, start that version"
    )]
    Newer { path: PathBuf, found: String },
}

/// Both directories, locked as long as this lives.
pub(crate) struct Directories {
    data: PathBuf,
    run: PathBuf,
    _locks: [File; 2],
}

impl Directories {
    /// Makes and locks them.
    pub(crate) fn take(data: &Path, run: &Path) -> Result<Self, DirectoryError> {
        let locks = [take(data)?, take(run)?];
        Ok(Self { data: data.to_owned(), run: run.to_owned(), _locks: locks })
    }

    /// Refuses what living tasks of a newer version have here; to be called before anything is touched.
    pub(crate) fn refuse_newer(&self) -> Result<(), DirectoryError> {
        let Ok(found) = fs::read_to_string(self.run.join(FORMAT_FILE)) else { return Ok(()) };
        let found = found.trim().to_owned();
        let is_used = |name: &&str| fs::read_dir(self.run.join(name)).is_ok_and(|mut entries| entries.next().is_some());
        if found.parse().is_ok_and(|found: u32| found <= FORMAT) || !OF_TASKS.iter().any(is_used) {
            return Ok(());
        }
        Err(DirectoryError::Newer { path: self.run.clone(), found })
    }

    /// Says in which form this build writes.
    pub(crate) fn mark_format(&self) -> Result<(), DirectoryError> {
        let path = self.run.join(FORMAT_FILE);
        let text = FORMAT.to_string();
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        // Another name first: half a number would be another one.
        let part = self.run.join(".format.new");
        fs::write(&part, text)
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|source| DirectoryError::Prepare { path, source })
    }

    /// Whether an ephemeral server died here.
    pub(crate) fn was_ephemeral(&self) -> bool {
        self.data.join(EPHEMERAL_MARK).exists()
    }

    /// From now on the content goes with the server.
    pub(crate) fn mark_ephemeral(&self) -> Result<(), DirectoryError> {
        let prepare = |source| DirectoryError::Prepare { path: self.data.clone(), source };
        if !self.was_ephemeral() && content(&self.data).map_err(prepare)?.next().is_some() {
            return Err(DirectoryError::Lasting { path: self.data.clone() });
        }
        fs::write(self.data.join(EPHEMERAL_MARK), b"").map_err(prepare)
    }

    /// Removes everything but the locks; the mark goes last, so that a crash half-way is finished by the next start.
    pub(crate) fn empty(&self) -> Result<(), DirectoryError> {
        for path in [&self.run, &self.data] {
            let prepare = |source| DirectoryError::Prepare { path: path.clone(), source };
            for entry in content(path).map_err(prepare)? {
                let remove = if entry.is_dir() && !entry.is_symlink() { fs::remove_dir_all } else { fs::remove_file };
                remove(&entry).or_else(absent).map_err(prepare)?;
            }
        }
        let mark = self.data.join(EPHEMERAL_MARK);
        fs::remove_file(&mark).or_else(absent).map_err(|source| DirectoryError::Prepare { path: mark, source })
    }

    /// Removes the directories themselves, once they are empty.
    pub(crate) fn remove(self) {
        for path in [&self.run, &self.data] {
            // Somebody else's file in it keeps it.
            let _ = fs::remove_file(path.join(LOCK_FILE));
            let _ = fs::remove_dir(path);
        }
    }
}

/// Makes a directory that nobody but root looks into; one that an earlier version made open is closed.
pub(crate) fn make_private(path: &Path) -> Result<(), DirectoryError> {
    let prepare = |source| DirectoryError::Prepare { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(prepare)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(prepare)
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Everything in it but our own lock and mark.
fn content(path: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    let ours = |name: &std::ffi::OsStr| name == LOCK_FILE || name == EPHEMERAL_MARK;
    let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().filter(move |entry| !ours(&entry.file_name())).map(|entry| entry.path()))
}

fn take(path: &Path) -> Result<File, DirectoryError> {
    let prepare = |source| DirectoryError::Prepare { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(prepare)?;
    let lock = path.join(LOCK_FILE);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(lock);
    let file = file.as_mut().map_err(|error| prepare(io::Error::from(error.kind())))?;
    wait_for(file).map_err(|error| match error {
        TryLockError::WouldBlock => DirectoryError::Taken { path: path.to_owned(), pid: holder(file) },
        TryLockError::Error(source) => prepare(source),
    })?;
    file.set_len(0).and_then(|()| file.rewind()).map_err(prepare)?;
    writeln!(file, "{}", std::process::id()).map_err(prepare)?;
    file.try_clone().map_err(prepare)
}

/// A server that was killed takes a moment to go, and may leave a child that has not become another program yet, with the
/// lock in its hands: as long as the one who took it is gone or going, whoever has it gives it back by itself.
fn wait_for(file: &mut File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline && !stays(&holder(file)) => {
                std::thread::sleep(LOCK_POLL);
            }
            done => return done,
        }
    }
}

/// Who took the lock, as the file says.
fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    // What cannot be read names nobody.
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut pid));
    pid.trim().to_owned()
}

/// Whether the process is there, and still is a moment later: between taking a signal and ending it looks like any other.
fn stays(pid: &str) -> bool {
    is_there(pid) && {
        std::thread::sleep(LOCK_POLL);
        is_there(pid)
    }
}

/// Whether the process lives and has not begun to end.
fn is_there(pid: &str) -> bool {
    let told = |file: &str| fs::read_to_string(Path::new("/proc").join(pid).join(file)).unwrap_or_default();
    // What comes after the name in parentheses: state, five numbers, flags.
    let stat = told("stat");
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let state = fields.next().unwrap_or("X").to_owned();
    let flags: u32 = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0);
    let is_killed = told("status").lines().filter_map(|line| line.strip_prefix("SigPnd:")).any(|signals| {
        u64::from_str_radix(signals.trim(), 16).is_ok_and(|signals| signals & (1 << (libc::SIGKILL - 1)) != 0)
    });
    !pid.is_empty() && !matches!(&*state, "Z" | "X") && flags & PF_EXITING == 0 && !is_killed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_has_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let (data, run) = (home.path().join("d"), home.path().join("r"));
        let first = Directories::take(&data, &run).unwrap();
        let second = Directories::take(&data, &run).err().unwrap();
        assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
        // The lock is a child's of a server that is gone.
        fs::write(data.join(LOCK_FILE), "4194305").unwrap();
        let child = std::thread::spawn(move || {
            std::thread::sleep(LOCK_POLL * 4);
            drop(first);
        });
        assert!(Directories::take(&data, &run).is_ok());
        child.join().unwrap();
    }

    #[test]
    fn who_was_killed_is_not_there_any_more_although_nobody_has_looked_after_it() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id().to_string();
        assert!(stays(&pid) && stays(&std::process::id().to_string()));
        child.kill().unwrap();
        assert!(!stays(&pid), "it has its signal, ends, or waits to be reaped");
        child.wait().unwrap();
        assert!(!stays(&pid) && !stays(""));
    }

    #[test]
    fn tasks_of_a_newer_version_are_left_alone_and_an_empty_directory_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let (data, run) = (home.path().join("d"), home.path().join("r"));
        let taken = Directories::take(&data, &run).unwrap();
        taken.refuse_newer().unwrap();
        taken.mark_format().unwrap();
        fs::create_dir_all(run.join("tasks/1")).unwrap();
        taken.refuse_newer().unwrap();
        for newer in ["2", "what is this"] {
            fs::write(run.join(FORMAT_FILE), newer).unwrap();
            let refused = taken.refuse_newer().unwrap_err().to_string();
            assert!(refused.contains(newer) && refused.lines().count() == 1, "{refused}");
        }
        fs::remove_dir(run.join("tasks/1")).unwrap();
        taken.refuse_newer().unwrap();
        taken.mark_format().unwrap();
        assert_eq!(fs::read_to_string(run.join(FORMAT_FILE)).unwrap(), "1");
    }

    #[test]
    fn an_ephemeral_server_refuses_lasting_state_and_removes_its_own() {
        let home = tempfile::tempdir().unwrap();
        let (data, run) = (home.path().join("d"), home.path().join("r"));
        let taken = Directories::take(&data, &run).unwrap();
        taken.mark_ephemeral().unwrap();
        fs::create_dir(data.join("db")).unwrap();
        taken.mark_ephemeral().unwrap();
        taken.empty().unwrap();
        assert!(!taken.was_ephemeral());
        fs::create_dir(data.join("db")).unwrap();
        assert!(matches!(taken.mark_ephemeral(), Err(DirectoryError::Lasting { .. })));
        fs::remove_dir(data.join("db")).unwrap();
        taken.remove();
        assert!(!data.exists() && !run.exists());
    }
}
