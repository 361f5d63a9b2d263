//! Runs a command in a running container: two forks around one `setns`.
//!
//! In: the container's pidfd, its group, what it is restricted to, a user and a program. Out: a child of the caller by
//! pidfd, or a refusal in Docker's words.
//!
//! ```text
//! caller ── fork ── A: groups → setns(pidfd) → session, streams, ids → restrict → clone(CLONE_PARENT) ── B: execve
//!    ▲─ pid of B, then A ends                                                          └─ a child of the caller
//! ```
//!
//! Holds: the process that enters the pid namespace (B) is already restricted, so nobody inside, not even with
//! CAP_SYS_PTRACE, ever sees one with more rights than the container's. Why not libcontainer's way: it forgets the user
//! namespace and the filter (src/runtime has no `linux.seccomp`), and takes twice as long.
//! For a single-threaded caller only.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cgroup::Group;
use crate::process::{self, PidFd};
use crate::program::Program;
use crate::restriction::{self, Restriction};

/// What and where.
pub struct Command<'a> {
    pub container: &'a PidFd,
    /// The same process by number: its resource limits are taken over.
    pub pid: i32,
    pub group: &'a Group,
    pub restriction: &'a Restriction,
    pub uid: u32,
    pub gid: u32,
    pub groups: &'a [u32],
    pub cwd: &'a str,
    pub program: &'a Program,
}

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("{0}")]
    Program(String),
    #[error("cannot enter the container ({step})")]
    Enter { step: &'static str, source: io::Error },
    #[error("cannot prepare the command")]
    Prepare(#[source] io::Error),
}

/// A command that has begun. It is a child of the caller, who must reap it.
#[derive(Debug)]
pub struct Executed {
    pub pid: i32,
    pub handle: PidFd,
}

/// How long a command may take until its program begins, a few milliseconds mostly. A file system that does not answer
/// must not hold the caller, who has other things to supervise.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Where A or B got stuck, as a byte on the pipe.
const STEPS: [&str; 10] = [
    "control group",
    "namespaces",
    "session",
    "streams",
    "working directory",
    "ids",
    "restriction",
    "clone",
    "execute",
    "terminal",
];

/// Descriptors that are marked one by one where the kernel does not mark a range: this program never has so many.
const DESCRIPTORS_MAX: i32 = 1 << 16;

/// Starts the command and returns once its program has begun.
///
/// # Errors
/// In Docker's words when the program is at fault.
pub fn run(command: &Command<'_>, streams: [OwnedFd; 3]) -> Result<Executed, ExecError> {
    let cwd = CString::new(command.cwd).map_err(|error| ExecError::Prepare(error.into()))?;
    let groups = command.group.procs_files();
    let limits = limits(command.pid);
    let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|error| ExecError::Prepare(error.into()));
    let (reports, reports_write) = pipe()?;
    let (errors, errors_write) = pipe()?;
    let inside = Inside {
        command,
        cwd,
        groups,
        limits,
        streams: [streams[0].as_raw_fd(), streams[1].as_raw_fd(), streams[2].as_raw_fd()],
        report: reports_write.as_raw_fd(),
        errors: errors_write.as_raw_fd(),
    };
    // SAFETY: the caller is single-threaded, so the child may do whatever the parent may.
    let first = unsafe { libc::fork() };
    if first == 0 {
        inside.enter();
    }
    if first < 0 {
        return Err(ExecError::Prepare(io::Error::last_os_error()));
    }
    drop((reports_write, errors_write, streams));
    let deadline = Instant::now() + START_DEADLINE;
    if !is_readable_by(&reports, deadline) {
        return Err(abandon(&[first]));
    }
    let pid = read_pid(&reports);
    reap(first);
    if !is_readable_by(&errors, deadline) {
        return Err(abandon(pid.as_slice()));
    }
    // Opened before anybody could reap it: its number is still its own.
    let handle = pid.map(PidFd::open);
    match (told(errors), pid, handle) {
        (Some((step, error)), pid, _) => {
            pid.into_iter().for_each(reap);
            Err(refusal(command, step, error))
        }
        (None, Some(pid), Some(Ok(handle))) => Ok(Executed { pid, handle }),
        (None, _, Some(Err(error))) => Err(ExecError::Prepare(error)),
        (None, _, None) | (None, None, Some(Ok(_))) => Err(ExecError::Enter {
            step: "the first process ended early",
            source: io::Error::from(io::ErrorKind::BrokenPipe),
        }),
    }
}

fn refusal(command: &Command<'_>, step: u8, source: io::Error) -> ExecError {
    let step = STEPS.get(usize::from(step)).copied().unwrap_or("unknown");
    match step {
        "execute" => ExecError::Program(command.program.explain(&source)),
        "working directory" => {
            ExecError::Program(format!("chdir to cwd (\"{}\") set in config.json failed: {source}", command.cwd))
        }
        step => ExecError::Enter { step, source },
    }
}

/// RLIMIT_CPU to RLIMIT_RTTIME.
const RESOURCES: u32 = 16;

/// The limits of the container's first process.
fn limits(pid: i32) -> Vec<(u32, libc::rlimit)> {
    let read = |resource: u32| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads another process's limits into a structure of ours.
        let done = unsafe { libc::prlimit(pid, resource, std::ptr::null(), &raw mut limit) };
        (done == 0).then_some((resource, limit))
    };
    (0..RESOURCES).filter_map(read).collect()
}

/// Whether somebody wrote or closed in time.
fn is_readable_by(pipe: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = u16::try_from(left.as_millis().saturating_add(1)).unwrap_or(u16::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::from(millis)) {
            Ok(0) if Instant::now() >= deadline => return false,
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            // What cannot be waited for is read, which says why.
            Ok(_) | Err(_) => return true,
        }
    }
}

/// Kills what does not begin, without waiting for it: it dies once the kernel lets it, and the caller reaps it as an
/// orphan. Its number is its own until then.
fn abandon(pids: &[i32]) -> ExecError {
    for pid in pids {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL);
    }
    ExecError::Enter { step: "it did not begin in time", source: io::ErrorKind::TimedOut.into() }
}

fn read_pid(reports: &OwnedFd) -> Option<i32> {
    let mut bytes = [0; 4];
    File::from(reports.try_clone().ok()?).read_exact(&mut bytes).ok()?;
    Some(i32::from_ne_bytes(bytes))
}

/// Waits until exec closes the pipe or somebody says why not.
fn told(errors: OwnedFd) -> Option<(u8, io::Error)> {
    let mut bytes = [0; 5];
    File::from(errors).read_exact(&mut bytes).ok()?;
    let number = i32::from_ne_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    Some((bytes[0], io::Error::from_raw_os_error(number)))
}

fn reap(pid: i32) {
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
}

/// The child's view: numbers of inherited descriptors, everything else prepared.
struct Inside<'a> {
    command: &'a Command<'a>,
    cwd: CString,
    groups: Vec<PathBuf>,
    limits: Vec<(u32, libc::rlimit)>,
    streams: [RawFd; 3],
    report: RawFd,
    errors: RawFd,
}

impl Inside<'_> {
    fn enter(&self) -> ! {
        for (number, step) in (0u8..).zip([
            Self::join_groups,
            Self::join_namespaces,
            Self::new_session,
            Self::take_streams,
            Self::change_directory,
            Self::become_user,
            Self::restrict,
            Self::split,
        ]) {
            if let Err(error) = step(self) {
                self.fail(number, &error);
            }
        }
        // Only B comes here; A ended in `split`.
        if let Err(error) = take_terminal() {
            self.fail(9, &error);
        }
        let error = self.command.program.execute();
        self.fail(8, &error)
    }

    fn join_groups(&self) -> io::Result<()> {
        restriction::set_dumpable_off()?;
        self.groups.iter().try_for_each(|file| fs::write(file, "0"))
    }

    fn join_namespaces(&self) -> io::Result<()> {
        let all = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        // SAFETY: a descriptor and flags; the kernel orders the namespaces itself.
        let joined = |flags| check(unsafe { libc::setns(self.command.container.as_fd().as_raw_fd(), flags) });
        joined(all | libc::CLONE_NEWCGROUP)
    }

    /// A limit that may not be raised is left as it is: no command may fail for it.
    fn new_session(&self) -> io::Result<()> {
        restriction::reset_signals();
        for (resource, limit) in &self.limits {
            // SAFETY: sets limits of this process alone, from a live structure.
            unsafe { libc::setrlimit(*resource, limit) };
        }
        // SAFETY: no arguments.
        check(unsafe { libc::setsid() }.min(0))
    }

    /// The received descriptors may themselves be 0, 1 or 2, so they first move out of the way.
    fn take_streams(&self) -> io::Result<()> {
        let mut moved = [0; 3];
        for (place, stream) in moved.iter_mut().zip(self.streams) {
            // SAFETY: duplicating an open descriptor.
            *place = unsafe { libc::fcntl(stream, libc::F_DUPFD_CLOEXEC, 10) };
            check((*place).min(0))?;
        }
        for (number, stream) in (0..).zip(moved) {
            // SAFETY: as above; the copy loses CLOEXEC.
            check(unsafe { libc::dup2(stream, number) }.min(0))?;
            // SAFETY: it stays open until the program ends.
            process::give_pipe(unsafe { BorrowedFd::borrow_raw(number) }, self.command.uid)?;
        }
        mark_others()
    }

    fn change_directory(&self) -> io::Result<()> {
        // SAFETY: a terminated path.
        check(unsafe { libc::chdir(self.cwd.as_ptr()) })
    }

    fn become_user(&self) -> io::Result<()> {
        let Command { uid, gid, groups, .. } = *self.command;
        // SAFETY: raw calls, because glibc's wrappers signal threads that do not exist here; the list is live.
        unsafe {
            check(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) as i32)?;
            check(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
            check(libc::syscall(libc::SYS_setresgid, gid, gid, gid) as i32)?;
            check(libc::syscall(libc::SYS_setresuid, uid, uid, uid) as i32)?;
            check(libc::prctl(libc::PR_SET_KEEPCAPS, 0, 0, 0, 0))?;
        }
        // The change of ids emptied the effective set; loading the filter needs it.
        let permitted = crate::capability::permitted();
        crate::capability::set(permitted, permitted)
    }

    fn restrict(&self) -> io::Result<()> {
        self.command.restriction.apply(self.command.uid == 0)
    }

    /// clone, not clone3, because that is filtered by now. A ends here.
    fn split(&self) -> io::Result<()> {
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: without CLONE_VM this is a fork whose child has the same parent as we have.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid > 0 {
            let bytes = (pid as i32).to_ne_bytes();
            // SAFETY: a live buffer and an inherited descriptor; then the end without running the parent's destructors.
            unsafe {
                libc::write(self.report, bytes.as_ptr().cast(), bytes.len());
                libc::_exit(0);
            }
        }
        Ok(())
    }

    fn fail(&self, step: u8, error: &io::Error) -> ! {
        let number = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
        let bytes = [step, number[0], number[1], number[2], number[3]];
        // SAFETY: as in `split`.
        unsafe {
            libc::write(self.errors, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }
}

/// Streams on a terminal: it becomes the controlling one of a session of B's own, so that keys make signals and a shell
/// has job control. A's session cannot have it: it ends with A, and would take the terminal along.
fn take_terminal() -> io::Result<()> {
    // SAFETY: asks about an open descriptor.
    if unsafe { libc::isatty(0) } == 0 {
        return Ok(());
    }
    // SAFETY: no arguments.
    check(unsafe { libc::setsid() }.min(0))?;
    // SAFETY: takes an integer by value.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What is neither stream is closed when the program begins. Linux before 5.11 does not mark a range.
fn mark_others() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: marks descriptors of this process alone.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) {
        return Err(error);
    }
    mark_each();
    Ok(())
}

/// Numbers without a descriptor are refused, which is as good.
fn mark_each() {
    for number in 3..DESCRIPTORS_MAX {
        // SAFETY: as above.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
