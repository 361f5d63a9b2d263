//! The probes of a container's health check: begun, killed when they take too long, reaped.
//!
//! Holds: one probe at a time, and none once the container was asked to stop or has ended. A probe that is killed takes
//! its whole process group along, and the next one waits until it is reaped; so nothing piles up. One that is killed for
//! the container's end is waited for as well: a container cannot end before what entered its pid namespace is reaped.
//! Why in the shim: its deadlines hold while no server is there, and the health is right when the next one asks.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use cove_base::Timestamp;
use cove_base::crash::{self, Point};
use cove_model::task::Health;
use cove_runtime::exec::Executed;
use cove_runtime::spec::HealthCheck;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::health::Checked;

/// A container's health check at work.
#[derive(Debug)]
pub(super) struct Probes {
    check: HealthCheck,
    checked: Checked,
    since: Timestamp,
    running: Option<Probe>,
    /// There will be no other.
    is_over: bool,
}

/// A probe that runs.
#[derive(Debug)]
struct Probe {
    process: Executed,
    began: Instant,
    was_killed: bool,
}

impl Probes {
    /// Of a container that starts now.
    pub(super) fn new(check: &HealthCheck, now: Timestamp) -> Self {
        let checked = Checked::new(check, Instant::now());
        Self { check: check.clone(), checked, since: now, running: None, is_over: false }
    }

    pub(super) const fn health(&self) -> (Health, Timestamp) {
        (self.checked.health, self.since)
    }

    pub(super) fn args(&self) -> &[String] {
        &self.check.args
    }

    /// Readable when the probe has ended.
    pub(super) fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|probe| probe.process.handle.as_fd())
    }

    pub(super) fn is_of(&self, pid: i32) -> bool {
        self.running.as_ref().is_some_and(|probe| probe.process.pid == pid)
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.running {
            None => (!self.is_over).then(|| self.checked.due()),
            Some(probe) if probe.was_killed => None,
            Some(probe) => Some(self.kill_at(probe)),
        }
    }

    fn kill_at(&self, probe: &Probe) -> Instant {
        probe.began + Duration::from_millis(self.check.timeout_millis)
    }

    pub(super) fn is_due(&self) -> bool {
        !self.is_over && self.running.is_none() && Instant::now() >= self.checked.due()
    }

    /// A probe was begun, or could not be: then it failed.
    pub(super) fn begun(&mut self, process: Option<Executed>, now: Timestamp) {
        crash::at(Point::ShimProbing);
        let began = Instant::now();
        match process {
            Some(process) => self.running = Some(Probe { process, began, was_killed: false }),
            None => self.count(began, false, now),
        }
    }

    /// Kills a probe that takes too long.
    pub(super) fn kill_overdue(&mut self) {
        let overdue = self.running.as_ref().is_some_and(|probe| Instant::now() >= self.kill_at(probe));
        if overdue {
            self.kill();
        }
    }

    fn kill(&mut self) {
        if let Some(probe) = self.running.as_mut().filter(|probe| !probe.was_killed) {
            probe.was_killed = true;
            kill_group(&probe.process);
        }
    }

    /// The container is asked to stop, or has ended: what the probes said stays.
    pub(super) fn end(&mut self) {
        self.is_over = true;
        self.kill();
    }

    /// Reaps a probe that has ended, and counts it.
    pub(super) fn reap(&mut self, now: Timestamp) {
        let code = self.running.as_ref().and_then(|probe| super::task::wait(probe.process.handle.as_fd().as_raw_fd()));
        let (Some(code), Some(probe)) = (code, self.running.take_if(|_| code.is_some())) else { return };
        self.count(probe.began, code == 0 && !probe.was_killed, now);
    }

    fn count(&mut self, began: Instant, succeeded: bool, now: Timestamp) {
        if self.is_over {
            return;
        }
        let before = self.checked.health;
        self.checked.probed(&self.check, began, succeeded, Instant::now());
        if self.checked.health != before {
            self.since = now;
        }
    }
}

/// A command is in a session of its own, whose group keeps its number as long as the command is not reaped.
fn kill_group(process: &Executed) {
    let group = nix::unistd::getpgid(Some(Pid::from_raw(process.pid)));
    if let Ok(group) = group
        && group != nix::unistd::getpgrp()
    {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let _ = process.handle.signal(libc::SIGKILL);
}

/// A probe's output is not kept.
pub(super) fn streams() -> std::io::Result<[OwnedFd; 3]> {
    let nothing = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    Ok([nothing.try_clone()?.into(), nothing.try_clone()?.into(), nothing.into()])
}
