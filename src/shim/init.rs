//! PID 1 of a container that asked for an init process: starts the real program, hands on signals, reaps orphans.
//!
//! Holds: ends with the program's own status, or with a signal's number + 128. Why our own: it is the binary that is
//! there anyway, mounted read-only into the container.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What a shell says when a program is missing or cannot be run.
const NOT_FOUND: u8 = 127;

/// `cove init PROGRAM ARGS…`. Must be called before any thread exists.
pub fn init_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let Some(program) = args.next() else { return ExitCode::from(NOT_FOUND) };
    let all = SigSet::all();
    // Blocked here and handed out by sigwait; the child gets its empty mask back below.
    if all.thread_block().is_err() {
        return ExitCode::from(NOT_FOUND);
    }
    let mut command = Command::new(program);
    command.args(args);
    // SAFETY: only async-signal-safe calls (sigprocmask, setpgid) between fork and exec.
    unsafe {
        use std::os::unix::process::CommandExt;
        command.pre_exec(|| {
            SigSet::all().thread_unblock()?;
            Ok(())
        });
    }
    let Ok(child) = command.spawn() else { return ExitCode::from(NOT_FOUND) };
    let child = Pid::from_raw(i32::try_from(child.id()).unwrap_or(-1));
    loop {
        match all.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap_until(child) {
                    return ExitCode::from(code);
                }
            }
            Ok(signal) => {
                let _ = nix::sys::signal::kill(child, signal);
            }
            Err(_) => {}
        }
    }
}

/// Reaps all that have ended; the code when the program itself is among them.
fn reap_until(child: Pid) -> Option<u8> {
    let mut code = None;
    while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        match status {
            WaitStatus::Exited(pid, status) if pid == child => code = u8::try_from(status).ok().or(Some(1)),
            WaitStatus::Signaled(pid, signal, _) if pid == child => code = Some(128 + signal as u8),
            WaitStatus::StillAlive => break,
            _ => {}
        }
    }
    code
}
