//! PID 1 of a container that asked for an init process: starts the real program, hands on signals, reaps orphans.
//!
//! Holds: ends with the program's own status, or with a signal's number + 128. Why our own: it is the binary that is
//! there anyway, mounted read-only into the container.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use nix::sys::signal::SigSet;

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
    let child = i32::try_from(child.id()).unwrap_or(-1);
    loop {
        match wait_signal(&all) {
            libc::SIGCHLD => {
                if let Some(code) = reap_until(child) {
                    return ExitCode::from(code);
                }
            }
            // SAFETY: two integers; a child that has just ended is still there to be reaped.
            signal => drop(unsafe { libc::kill(child, signal) }),
        }
    }
}

/// The next signal, by number: real-time signals have no name in `nix`, and a container may be stopped with one.
fn wait_signal(all: &SigSet) -> i32 {
    let mut signal = 0;
    // SAFETY: a live set, and an integer to write to. It fails for a bad set only.
    unsafe { libc::sigwait(all.as_ref(), &raw mut signal) };
    signal
}

/// Reaps all that have ended; the code when the program itself is among them.
fn reap_until(child: i32) -> Option<u8> {
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: an integer to write to.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid <= 0 {
            return code;
        }
        if pid == child {
            let number = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
            code = u8::try_from(number).ok().or(Some(1));
        }
    }
}
