//! The cage around a scanner's command: our own program, which shuts itself in and then becomes the command.
//!
//! ```text
//! server ─▶ outer: dies with the server; control group, new network, mounts, processes
//!             └▶ inner: first process of them; image read only, limits, nobody in particular ─▶ the command
//! ```
//!
//! Holds: the command has no network but an empty one, sees the image read only, and every process that it starts dies
//! with it: killing the outer one is enough. It is a user of its own that owns its scratch directory and nothing else of
//! the host. It gets none of the server's environment.
//! Why two processes: who makes a process namespace is not in it. Why the image is shown elsewhere than where it lies: the
//! server's directories are closed to everybody.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, chown, getppid, setgid, setgroups, setuid};

/// The hidden word that picks this in `main`.
pub(super) const VERB: &str = "scan-cage";
/// What ended the cage before the command began.
const EXIT_CAGE: u8 = 125;
/// Inside a workplace: the image's layout, and where the command may write.
pub(super) const IMAGE: &str = "image";
pub(super) const SCRATCH: &str = "scratch";
/// What stands for the image's directory in a command's words.
const IMAGE_WORD: &str = "{image}";
/// Where the workplace is shown: the first of these that is a directory and does not hold the program. Nobody but the
/// command sees that.
const PLACES: [&str; 5] = ["/mnt", "/media", "/srv", "/dev/shm", "/tmp"];
/// The command's user and group: of those that neither distributions nor systemd give to anybody, and there in containers
/// that have no more than 65,536.
const NOBODY: u32 = 65_533;

/// `cove scan-cage outer|inner WORKPLACE MEMORY N FILE… COMMAND…`; N files are of a control group. Must be called before any
/// thread exists.
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

/// What the words say.
struct Wish<'a> {
    workplace: &'a Path,
    memory_bytes: u64,
    group: &'a [OsString],
    command: &'a [OsString],
}

impl<'a> Wish<'a> {
    fn read(words: &'a [OsString]) -> io::Result<Self> {
        let number = |word: &OsString| word.to_str().and_then(|text| text.parse::<u64>().ok());
        let [workplace, memory, count, rest @ ..] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
        let count = number(count).and_then(|count| usize::try_from(count).ok());
        let (Some(memory_bytes), Some((group, command))) =
            (number(memory), count.and_then(|count| rest.split_at_checked(count)))
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Ok(Self { workplace: Path::new(workplace), memory_bytes, group, command })
    }
}

fn outer(words: &[OsString]) -> io::Result<u8> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == Pid::from_raw(1) {
        return Err(io::Error::other("the server is gone"));
    }
    for file in Wish::read(words)?.group {
        std::fs::write(file, "0")?;
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
    let wish = Wish::read(words)?;
    let [program, arguments @ ..] = wish.command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let place = shut(wish.workplace, Path::new(program))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if wish.group.is_empty() {
        setrlimit(Resource::RLIMIT_DATA, wish.memory_bytes, wish.memory_bytes)?;
    }
    let (image, scratch) = (place.join(IMAGE), place.join(SCRATCH));
    chown(&scratch, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY)))?;
    setgroups(&[])?;
    setgid(Gid::from_raw(NOBODY))?;
    setuid(Uid::from_raw(NOBODY))?;
    // Another user is another process to the kernel: it has forgotten this.
    set_pdeathsig(Signal::SIGKILL)?;
    set_no_new_privs()?;
    std::env::set_current_dir(&scratch)?;
    let path = OsStr::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let home = scratch.as_os_str();
    let image = image.to_string_lossy();
    let failed = Command::new(program)
        .args(arguments.iter().map(|word| word.to_string_lossy().replace(IMAGE_WORD, &image)))
        .env_clear()
        .envs([("PATH", path), ("HOME", home), ("TMPDIR", home), ("XDG_CACHE_HOME", home)])
        .env("LANG", "C.UTF-8")
        .exec();
    Err(io::Error::new(failed.kind(), format!("{}: {failed}", Path::new(program).display())))
}

/// Mounts of our own: nothing of this is seen outside. Where the workplace is now.
fn shut(workplace: &Path, program: &Path) -> io::Result<PathBuf> {
    let none: Option<&str> = None;
    let again =
        |target: &Path, flags: MsFlags| mount(none, target, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags, none);
    let bind = |from: &Path, target: &Path| mount(Some(from), target, none, MsFlags::MS_BIND, none);
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let fits = |place: &&Path| place.is_dir() && !program.starts_with(place);
    let place = PLACES.iter().map(Path::new).find(fits).ok_or_else(|| io::Error::other("no place for the image"))?;
    bind(workplace, place)?;
    let (image, scratch) = (place.join(IMAGE), place.join(SCRATCH));
    bind(&image, &image)?;
    again(&image, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    bind(&scratch, &scratch)?;
    again(&scratch, MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    // Where these are refused (a server inside a container), the cage is as tight as that container.
    let _ =
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, none);
    let _ = again(Path::new("/"), MsFlags::MS_RDONLY);
    Ok(place.to_owned())
}
