//! The cage around a scanner's command: our own program, which shuts itself in and then becomes the command.
//!
//! ```text
//! server ─▶ outer: dies with the server; new network, mounts, processes
//!             └▶ inner: first process of them; image read only, limits ─▶ the command
//! ```
//!
//! Holds: the command has no network but an empty one, sees the image read only, and every process that it starts dies
//! with it: killing the outer one is enough. It may write to its scratch directory alone, where the host's other mounts
//! allow that to be said. It gets none of the server's environment.
//! Why two processes: who makes a process namespace is not in it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// The hidden word that picks this in `main`.
pub(super) const VERB: &str = "scan-cage";
/// What ended the cage before the command began.
pub(super) const EXIT_CAGE: u8 = 125;

/// `cove scan-cage outer|inner LAYOUT SCRATCH MEMORY COMMAND…`. Must be called before any thread exists.
pub fn cage_main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.collect();
    let done = match words.first().and_then(|word| word.to_str()) {
        Some("outer") => outer(&words[1..]),
        Some("inner") => inner(&words[1..]),
        Some(_) | None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "the scanner was not started: {error}");
            ExitCode::from(EXIT_CAGE)
        }
    }
}

fn outer(words: &[OsString]) -> io::Result<u8> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == Pid::from_raw(1) {
        return Err(io::Error::other("the server is gone"));
    }
    let apart =
        CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    unshare(apart)?;
    let status = Command::new(std::env::current_exe()?).arg(VERB).arg("inner").args(words).status()?;
    let by_signal = |signal: i32| 128u8.saturating_add(u8::try_from(signal).unwrap_or(0));
    Ok(status.code().map_or_else(|| by_signal(status.signal().unwrap_or(0)), |code| u8::try_from(code).unwrap_or(1)))
}

fn inner(words: &[OsString]) -> io::Result<u8> {
    set_pdeathsig(Signal::SIGKILL)?;
    let [layout, scratch, memory, program, arguments @ ..] = words else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let memory: u64 = memory.to_str().and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    shut(Path::new(layout), Path::new(scratch))?;
    set_no_new_privs()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_DATA, memory, memory)?;
    std::env::set_current_dir(scratch)?;
    let path = OsStr::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let failed = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs([("PATH", path), ("HOME", scratch), ("TMPDIR", scratch), ("XDG_CACHE_HOME", scratch)])
        .env("LANG", "C.UTF-8")
        .exec();
    Err(io::Error::new(failed.kind(), format!("{}: {failed}", Path::new(program).display())))
}

/// Mounts of our own: nothing of this is seen outside.
fn shut(layout: &Path, scratch: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    let again =
        |target: &Path, flags: MsFlags| mount(none, target, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags, none);
    let own = |target: &Path| mount(Some(target), target, none, MsFlags::MS_BIND, none);
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    own(layout)?;
    again(layout, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    own(scratch)?;
    // Where these are refused (a server inside a container), the cage is as tight as that container.
    let _ =
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, none);
    let _ = again(Path::new("/"), MsFlags::MS_RDONLY);
    Ok(())
}
