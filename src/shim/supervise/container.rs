//! One container of the task: where it is, and its way from Start to Exited.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cove_base::Clock;
use cove_base::crash::{self, Point};
use cove_model::task::Health;
use cove_runtime::cgroup::Group;
use cove_runtime::container::{self, Namespace, Plan, Running, StartError, Streams};
use cove_runtime::spec::ContainerSpec;

use super::probe::Probes;
use super::pump::Pump;
use super::recording::Recording;
use super::task::Shared;
use crate::journal;
use crate::protocol::{ContainerState, ExitRecord, Phase};

/// After the exit: how long a leaked grandchild may hold the pipes open.
const DRAIN: Duration = Duration::from_millis(50);

/// A container and what the shim holds for it.
pub(super) struct Container {
    pub(super) spec: ContainerSpec,
    pub(super) state: ContainerState,
    pub(super) running: Option<Running>,
    pub(super) pump: Option<Pump>,
    /// The writing end of an open stdin, or of the terminal: without it the program would be hung up.
    stdin: Option<OwnedFd>,
    /// When SIGKILL follows the stop signal.
    pub(super) kill_at: Option<Instant>,
    /// Set with the exit: when draining ends.
    pub(super) drain_until: Option<Instant>,
    /// Set when draining has ended or the start failed: the exit, until it is durable.
    recording: Option<Recording>,
    /// Set from its start, if it has a health check.
    pub(super) probes: Option<Probes>,
    exit_code: i32,
}

/// What all containers of the task have in common.
pub(super) struct Place<'a> {
    pub(super) directory: &'a Path,
    pub(super) exits: &'a Path,
    pub(super) group: &'a Group,
    pub(super) network: &'a Namespace,
    pub(super) shared: &'a Shared,
    pub(super) program: &'a Path,
}

impl Place<'_> {
    fn plan<'b>(&'b self, spec: &'b ContainerSpec, network: Namespace) -> Plan<'b> {
        Plan {
            spec,
            bundle: bundle(self.directory, &spec.name),
            task_group: self.group,
            network,
            pid: self.shared.pid.clone(),
            ipc: self.shared.ipc.clone(),
            shared_shm: self.shared.shm.clone(),
            init_binary: spec.init.then(|| self.program.to_owned()),
        }
    }
}

/// The directory of a container below the task's.
pub(super) fn bundle(directory: &Path, container: &str) -> PathBuf {
    directory.join(format!("c.{container}"))
}

impl Container {
    pub(super) fn new(spec: ContainerSpec) -> Self {
        let state = ContainerState {
            name: spec.name.clone(),
            attempt: spec.attempt,
            phase: Phase::Waiting,
            recording: false,
            health: spec.health.as_ref().map(|_| Health::Unknown),
            health_since: None,
        };
        let (running, pump, stdin, kill_at, drain_until) = (None, None, None, None, None);
        let (recording, probes) = (None, None);
        Self { spec, state, running, pump, stdin, kill_at, drain_until, recording, probes, exit_code: 0 }
    }

    /// Alive or still being drained.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state.phase, Phase::Running { .. })
    }

    /// Whether this attempt was not begun before. One whose end is being recorded was, whatever its phase says.
    pub(super) fn is_new(&self, attempt: u32) -> bool {
        match self.state.phase {
            Phase::Waiting => self.recording.is_none(),
            Phase::Running { .. } => false,
            Phase::Exited(_) => attempt > self.state.attempt,
        }
    }

    /// Starts this attempt; a failure is an exit without code.
    pub(super) fn start(&mut self, attempt: u32, place: &Place<'_>, clock: &Clock) {
        self.state.attempt = attempt;
        self.exit_code = 0;
        match self.try_start(place) {
            Ok(running) => {
                let started_at = clock.now();
                self.state.phase = Phase::Running { pid: running.pid, started_at };
                self.running = Some(running);
                self.probes = self.spec.health.as_ref().map(|check| Probes::new(check, started_at));
                self.show_health();
            }
            Err(error) => {
                self.pump = None;
                self.end(self.record(clock, None, false, Some(error)));
            }
        }
    }

    fn try_start(&mut self, place: &Place<'_>) -> Result<Running, StartError> {
        let prepare = |source: io::Error| StartError::Prepare { path: PathBuf::from("standard streams"), source };
        // Kept until the container's process is in it.
        let offline = self.offline()?;
        let network = offline.as_ref().map_or_else(|| place.network.clone(), super::place::by_descriptor);
        let plan = place.plan(&self.spec, network);
        if self.spec.terminal {
            journal::begin(place.exits).map_err(prepare)?;
            let mut running = container::start(&plan, Streams::Terminal)?;
            let keyboard = running.keyboard.take().ok_or(StartError::NoTerminal)?;
            self.stdin = Some(keyboard.try_clone().map_err(prepare)?);
            self.pump = Some(Pump::new(keyboard, None, self.spec.log.as_ref()));
            return Ok(running);
        }
        let (stdout, stdout_write) = pipe().map_err(prepare)?;
        let (stderr, stderr_write) = pipe().map_err(prepare)?;
        let (stdin, keep) = if self.spec.stdin_open {
            let (read, write) = pipe().map_err(prepare)?;
            (read, Some(write))
        } else {
            (std::fs::File::open("/dev/null").map_err(prepare)?.into(), None)
        };
        journal::begin(place.exits).map_err(prepare)?;
        self.pump = Some(Pump::new(stdout, Some(stderr), self.spec.log.as_ref()));
        let streams = Streams::Pipes { stdin, stdout: stdout_write, stderr: stderr_write };
        let running = container::start(&plan, streams)?;
        self.stdin = keep;
        Ok(running)
    }

    /// A network of its own with loopback alone, if it asked for that.
    fn offline(&self) -> Result<Option<OwnedFd>, StartError> {
        let make = || cove_runtime::network::loopback_only().map_err(|source| StartError::Offline { source });
        self.spec.offline.then(make).transpose()
    }

    /// The stop signal now; the kill follows by [`Container::kill_at`].
    pub(super) fn stop(&mut self, group: &Group) {
        let Some(running) = self.running.as_ref().filter(|_| self.drain_until.is_none()) else { return };
        if self.kill_at.is_some() {
            return;
        }
        let timeout = Duration::from_secs(u64::from(self.spec.stop_timeout_secs));
        if timeout.is_zero() || self.spec.stop_signal == libc::SIGKILL {
            return self.kill(group);
        }
        let _ = running.handle.signal(self.spec.stop_signal);
        self.end_probes();
        self.kill_at = Some(Instant::now() + timeout);
    }

    /// SIGKILL to everything in the container.
    pub(super) fn kill(&mut self, group: &Group) {
        if let Some(running) = &self.running {
            let _ = running.handle.signal(libc::SIGKILL);
            group.container(&self.spec.name).kill();
        }
        self.end_probes();
        self.kill_at = None;
    }

    /// The program has ended: takes its status. What it left behind dies with it, as in a pid namespace of its own.
    pub(super) fn reap(&mut self, group: &Group) {
        let Some(running) = &self.running else { return };
        if let Some(code) = super::task::wait(running.handle.as_fd().as_raw_fd()) {
            crash::at(Point::ShimReaped);
            self.exit_code = code;
            self.kill_at = None;
            self.end_probes();
            self.drain_until = Some(Instant::now() + DRAIN);
            group.container(&self.spec.name).kill();
        }
    }

    fn end_probes(&mut self) {
        self.probes.iter_mut().for_each(Probes::end);
    }

    /// Puts what the probes say into the state; whether that changed it.
    pub(super) fn show_health(&mut self) -> bool {
        let Some((health, since)) = self.probes.as_ref().map(Probes::health) else { return false };
        let changed = self.state.health != Some(health) || self.state.health_since != Some(since);
        (self.state.health, self.state.health_since) = (Some(health), Some(since));
        changed
    }

    /// Whether nothing more is to be read, or not waited for.
    pub(super) fn is_drained(&self) -> bool {
        self.drain_until.is_some_and(|until| Instant::now() >= until || self.pump.as_ref().is_none_or(Pump::has_ended))
    }

    /// Writes an event of several lines that nothing was added to for a while.
    pub(super) fn write_overdue(&mut self, clock: &Clock) {
        self.pump.iter_mut().for_each(|pump| pump.write_overdue(clock.now()));
    }

    /// Begins to record the end; the group must still be there, because the count of OOM kills goes with it.
    pub(super) fn finish(&mut self, group: &Group, clock: &Clock) {
        if let Some(mut pump) = self.pump.take() {
            pump.close(clock.now());
        }
        let oom_killed = group.container(&self.spec.name).oom_kills() > 0;
        let record = self.record(clock, Some(self.exit_code), oom_killed, None);
        (self.running, self.stdin, self.drain_until) = (None, None, None);
        self.end(record);
    }

    fn end(&mut self, record: ExitRecord) {
        self.state.recording = true;
        self.recording = Some(Recording::new(record));
    }

    /// Whether the end is known and not on disk.
    pub(super) const fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// Goes on recording the end; whether it is durable now, so that the state may be told.
    pub(super) fn has_recorded(&mut self, exits: &Path) -> bool {
        let Some(record) = self.recording.as_mut().and_then(|recording| recording.advance(exits)) else { return false };
        self.recording = None;
        self.state.recording = false;
        self.state.phase = Phase::Exited(record);
        true
    }

    /// When the loop must look at this container again, whatever else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let recording = self.recording.as_ref().map(Recording::due);
        let probes = self.probes.as_ref().and_then(Probes::deadline);
        let log = self.pump.as_ref().and_then(Pump::deadline);
        [self.kill_at, self.drain_until, recording, probes, log].into_iter().flatten().min()
    }

    fn record(&self, clock: &Clock, exit_code: Option<i32>, oom_killed: bool, error: Option<StartError>) -> ExitRecord {
        let started_at = match &self.state.phase {
            Phase::Running { started_at, .. } => Some(*started_at),
            Phase::Waiting | Phase::Exited(_) => None,
        };
        ExitRecord {
            container: self.spec.name.clone(),
            attempt: self.state.attempt,
            started_at,
            stopped_at: clock.now(),
            exit_code,
            oom_killed,
            error: error.map(|error| format!("CannotStartContainerError: {}", cove_base::error::chain(&error))),
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}
