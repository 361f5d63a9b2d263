//! The loop, and what requests do.

use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cove_base::Clock;
use cove_base::crash::{self, Point};
use cove_logs::Source;
use cove_runtime::cgroup::Group;
use cove_runtime::container::{self, Namespace, Running};
use cove_runtime::exec::{self, Executed};
use cove_runtime::memory;
use cove_runtime::program::{self, Program};
use cove_runtime::rootfs::User;
use cove_runtime::spec::SharedNamespace;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection::Connection;
use super::container::{Container, Place, bundle};
use super::holder::Holder;
use super::probe::{self, Probes};
use super::{SuperviseError, note, place};
use crate::client;
use crate::protocol::{ContainerState, Event, Request, TaskSpec, VERSION};

/// Zombies that are nobody's (orphans of shared namespaces) are reaped at least this often.
const IDLE: Duration = Duration::from_secs(60);

/// Namespaces that the containers share, and what keeps them open.
pub(super) struct Shared {
    pub(super) holder: Option<Holder>,
    pub(super) pid: Namespace,
    pub(super) ipc: Namespace,
    pub(super) shm: Option<PathBuf>,
    kept: RefCell<Vec<OwnedFd>>,
}

impl Default for Shared {
    fn default() -> Self {
        let (pid, ipc) = (Namespace::Private, Namespace::Private);
        Self { holder: None, pid, ipc, shm: None, kept: RefCell::default() }
    }
}

impl Shared {
    pub(super) fn keep(&self, descriptor: OwnedFd) {
        self.kept.borrow_mut().push(descriptor);
    }

    pub(super) fn namespace(&self, wish: SharedNamespace, kind: &str) -> Result<Namespace, SuperviseError> {
        match wish {
            SharedNamespace::Private => Ok(Namespace::Private),
            SharedNamespace::Host => Ok(Namespace::Host),
            SharedNamespace::Task => {
                let pid = self.holder.as_ref().map_or(0, |holder| holder.pid);
                let path = PathBuf::from(format!("/proc/{pid}/ns/{kind}"));
                let file = fs::File::open(&path).map_err(|source| SuperviseError::File {
                    what: "open namespace",
                    path,
                    source,
                })?;
                Ok(place::shared_path(file.into(), self))
            }
        }
    }
}

/// A command in a container.
struct Exec {
    id: String,
    process: Executed,
}

/// The task and everything that the shim holds.
pub(super) struct Task {
    spec: TaskSpec,
    group: Group,
    network: Namespace,
    shared: Shared,
    program: PathBuf,
    _held: Vec<OwnedFd>,
    listener: UnixListener,
    containers: Vec<Container>,
    execs: Vec<Exec>,
    connections: Vec<Connection>,
    clock: Clock,
    buffer: Vec<u8>,
    finished: bool,
}

/// What a descriptor of the loop belongs to, by index.
#[derive(Clone, Copy)]
enum Ready {
    Listener,
    Connection(usize),
    Container(usize),
    Output(usize, Source),
    Probe(usize),
    Exec(usize),
}

impl Task {
    pub(super) fn new(
        mut spec: TaskSpec,
        group: Group,
        network: Namespace,
        shared: Shared,
        program: PathBuf,
        held: Vec<OwnedFd>,
        listener: UnixListener,
    ) -> Self {
        let containers = std::mem::take(&mut spec.containers).into_iter().map(Container::new).collect();
        let (execs, connections, buffer) = (Vec::new(), Vec::new(), Vec::new());
        let clock = Clock::system();
        let _held = held;
        Self {
            spec,
            group,
            network,
            shared,
            program,
            _held,
            listener,
            containers,
            execs,
            connections,
            clock,
            buffer,
            finished: false,
        }
    }

    pub(super) fn run(mut self) -> Result<(), SuperviseError> {
        memory::trim();
        while !self.finished {
            for ready in self.wait()? {
                self.handle(ready);
            }
            self.connections.retain(|connection| !connection.closed);
            self.kill_overdue();
            self.containers.iter_mut().for_each(|one| one.write_overdue(&self.clock));
            self.probe();
            self.record_exits();
            self.reap_strangers();
        }
        self.clean_up();
        Ok(())
    }

    /// Waits for something to happen or a deadline to pass.
    fn wait(&self) -> Result<Vec<Ready>, SuperviseError> {
        let mut polled = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let mut owners = vec![Ready::Listener];
        for (at, connection) in self.connections.iter().enumerate() {
            let writing = if connection.wants_to_write() { PollFlags::POLLOUT } else { PollFlags::empty() };
            polled.push(PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN | writing));
            owners.push(Ready::Connection(at));
        }
        for (at, container) in self.containers.iter().enumerate() {
            if let Some(running) = container.running.as_ref().filter(|_| container.drain_until.is_none()) {
                polled.push(PollFd::new(running.handle.as_fd(), PollFlags::POLLIN));
                owners.push(Ready::Container(at));
            }
            if let Some(probe) = container.probes.as_ref().and_then(Probes::handle) {
                polled.push(PollFd::new(probe, PollFlags::POLLIN));
                owners.push(Ready::Probe(at));
            }
            let Some(pump) = &container.pump else { continue };
            for (source, pipe) in [(Source::Stdout, &pump.stdout), (Source::Stderr, &pump.stderr)] {
                if let Some(pipe) = pipe {
                    polled.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
                    owners.push(Ready::Output(at, source));
                }
            }
        }
        for (at, exec) in self.execs.iter().enumerate() {
            polled.push(PollFd::new(exec.process.handle.as_fd(), PollFlags::POLLIN));
            owners.push(Ready::Exec(at));
        }
        match poll(&mut polled, self.timeout()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(SuperviseError::Kernel { what: "wait for events", source: error.into() }),
        }
        let happened = |one: &PollFd<'_>| one.revents().is_some_and(|events| !events.is_empty());
        let mut ready: Vec<Ready> =
            polled.iter().zip(owners).filter(|(one, _)| happened(one)).map(|(_, owner)| owner).collect();
        // Later execs first, so that removing one does not move the others.
        ready.reverse();
        Ok(ready)
    }

    fn timeout(&self) -> PollTimeout {
        let deadlines = self.containers.iter().filter_map(Container::deadline);
        let wait = deadlines.map(|at| at.saturating_duration_since(Instant::now())).min().unwrap_or(IDLE).min(IDLE);
        // Rounded up, or the loop would spin through the last millisecond.
        let millis = u16::try_from(wait.as_millis().saturating_add(1)).unwrap_or(u16::MAX);
        PollTimeout::from(millis)
    }

    fn handle(&mut self, ready: Ready) {
        match ready {
            Ready::Listener => self.accept(),
            Ready::Connection(at) => self.serve(at),
            Ready::Container(at) => self.containers[at].reap(&self.group),
            Ready::Output(at, source) => {
                if let Some(pump) = &mut self.containers[at].pump {
                    pump.read(source, &self.clock, &mut self.buffer);
                }
            }
            Ready::Probe(at) => {
                // A container that ended in this same turn has taken its probe along.
                if let Some(probes) = &mut self.containers[at].probes {
                    probes.reap(self.clock.now());
                }
            }
            Ready::Exec(at) => self.end_exec(at),
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            match Connection::new(stream) {
                Ok(connection) => self.connections.push(connection),
                Err(error) => note(&format!("cannot use a connection: {error}")),
            }
        }
    }

    fn serve(&mut self, at: usize) {
        self.connections[at].flush();
        for request in self.connections[at].receive() {
            match request {
                Request::Subscribe => self.subscribe(at),
                Request::Start { container, attempt } => self.start(at, &container, attempt),
                Request::Stop { container } => self.with(at, &container, Container::stop),
                Request::Kill { container } => self.with(at, &container, Container::kill),
                Request::StopAll => self.containers.iter_mut().rev().for_each(|one| one.stop(&self.group)),
                Request::Exec { exec_id, container, args, env, user, cwd } => {
                    let command = ExecRequest { exec_id, container, args, env, user, cwd };
                    self.exec(at, &command);
                }
                Request::SignalExec { exec_id, signal } => self.signal_exec(at, &exec_id, signal),
                Request::Finish => self.finish(at),
            }
        }
    }

    /// What an earlier server had asked for comes first: a state that is told must not change by anything asked before.
    fn subscribe(&mut self, at: usize) {
        (0..at).for_each(|earlier| self.serve(earlier));
        let containers = self.containers.iter().map(|one| one.state.clone()).collect();
        let shim_pid = i32::try_from(std::process::id()).unwrap_or(0);
        self.connections[at].subscribed = true;
        self.connections[at].send(&Event::State { version: VERSION, shim_pid, containers });
    }

    fn with(&mut self, at: usize, name: &str, act: impl FnOnce(&mut Container, &Group)) {
        match self.containers.iter_mut().find(|one| one.spec.name == name) {
            Some(container) => act(container, &self.group),
            None => self.refuse(at, name, "the task has no such container"),
        }
    }

    fn refuse(&mut self, at: usize, what: &str, why: &str) {
        self.connections[at].send(&Event::Refused { what: what.to_owned(), why: why.to_owned() });
    }

    fn start(&mut self, at: usize, name: &str, attempt: u32) {
        let Some(index) = self.containers.iter().position(|one| one.spec.name == name) else {
            return self.refuse(at, name, "the task has no such container");
        };
        let container = &mut self.containers[index];
        if !container.is_new(attempt) {
            let event = Event::Changed(container.state.clone());
            return self.connections[at].send(&event);
        }
        let place = Place {
            directory: &self.spec.directory,
            exits: &self.spec.exits,
            group: &self.group,
            network: &self.network,
            shared: &self.shared,
            program: &self.program,
        };
        container.start(attempt, &place, &self.clock);
        // It is idle almost always from here on.
        memory::trim();
        if self.containers[index].is_running() {
            self.tell_state(index);
        }
    }

    fn tell_state(&mut self, index: usize) {
        let state: ContainerState = self.containers[index].state.clone();
        self.tell(&Event::Changed(state));
    }

    fn tell(&mut self, event: &Event) {
        self.connections.iter_mut().filter(|one| one.subscribed && !one.closed).for_each(|one| one.send(event));
    }

    fn kill_overdue(&mut self) {
        let now = Instant::now();
        let group = &self.group;
        self.containers
            .iter_mut()
            .filter(|one| one.kill_at.is_some_and(|at| now >= at))
            .for_each(|one| one.kill(group));
    }

    /// Kills probes that take too long, begins those that are due, tells of health that changed.
    fn probe(&mut self) {
        for index in 0..self.containers.len() {
            let Some(probes) = &mut self.containers[index].probes else { continue };
            probes.kill_overdue();
            if probes.is_due() {
                self.begin_probe(index);
            }
            if self.containers[index].show_health() {
                self.tell_state(index);
            }
        }
    }

    /// A program that cannot be run is a probe that failed.
    fn begin_probe(&mut self, index: usize) {
        let container = &self.containers[index];
        let (Some(probes), Some(running)) = (&container.probes, &container.running) else { return };
        let executed = probe::streams().map_err(|error| error.to_string()).and_then(|streams| {
            let command = Inside { user: &running.user, args: probes.args(), env: running.env.clone(), cwd: None };
            self.enter(container, running, command, streams)
        });
        if let Some(probes) = &mut self.containers[index].probes {
            probes.begun(executed.ok(), self.clock.now());
        }
        memory::trim();
    }

    /// Durable first, told second, removed last.
    fn record_exits(&mut self) {
        for index in 0..self.containers.len() {
            let container = &mut self.containers[index];
            if container.is_drained() {
                container.finish(&self.group, &self.clock);
            }
            if container.has_recorded(&self.spec.exits) {
                self.tell_state(index);
                crash::at(Point::ShimTold);
                let name = &self.containers[index].spec.name;
                container::remove(&bundle(&self.spec.directory, name), &self.group.container(name));
            }
        }
    }

    fn exec(&mut self, at: usize, request: &ExecRequest) {
        let Some(streams) = self.connections[at].take_streams() else {
            return self.refuse(at, &request.exec_id, "three descriptors must come with the request");
        };
        self.connections[at].subscribed = true;
        match self.try_exec(request, streams) {
            Ok(process) => {
                let pid = process.pid;
                self.execs.push(Exec { id: request.exec_id.clone(), process });
                self.connections[at].send(&Event::ExecStarted { exec_id: request.exec_id.clone(), pid });
            }
            Err(why) => self.refuse(at, &request.exec_id, &why),
        }
        memory::trim();
    }

    fn try_exec(&self, request: &ExecRequest, streams: [OwnedFd; 3]) -> Result<Executed, String> {
        let found = self.containers.iter().find(|one| one.spec.name == request.container);
        let container = found.ok_or("the task has no such container")?;
        let running = container.running.as_ref().filter(|_| container.drain_until.is_none());
        let running = running.ok_or("the container is not running")?;
        let rootfs = bundle(&self.spec.directory, &container.spec.name).join("rootfs");
        let user = match &request.user {
            None => running.user.clone(),
            Some(name) => {
                cove_runtime::rootfs::lookup_user(&rootfs, name).map_err(|error| cove_base::error::chain(&error))?
            }
        };
        let mut env = running.env.clone();
        if request.user.is_some() {
            env.push(format!("HOME={}", if user.home.is_empty() { "/" } else { &user.home }));
        }
        env.extend(request.env.iter().cloned());
        let command = Inside { user: &user, args: &request.args, env, cwd: request.cwd.as_deref() };
        self.enter(container, running, command, streams)
    }

    /// Runs a command in a container that runs.
    fn enter(
        &self,
        container: &Container,
        running: &Running,
        inside: Inside<'_>,
        streams: [OwnedFd; 3],
    ) -> Result<Executed, String> {
        let program = Program::new(inside.args, &program::deduplicated(inside.env))
            .map_err(|_| "an argument or variable holds a zero byte")?;
        let container_cwd = if container.spec.cwd.is_empty() { "/" } else { &container.spec.cwd };
        let command = exec::Command {
            container: &running.handle,
            pid: running.pid,
            group: &self.group.container(&container.spec.name),
            restriction: &running.restriction,
            uid: inside.user.uid,
            gid: inside.user.gid,
            groups: &inside.user.groups,
            cwd: inside.cwd.unwrap_or(container_cwd),
            program: &program,
        };
        exec::run(&command, streams).map_err(|error| cove_base::error::chain(&error))
    }

    fn end_exec(&mut self, at: usize) {
        if let Some(exit_code) = wait(self.execs[at].process.handle.as_fd().as_raw_fd()) {
            let exec = self.execs.swap_remove(at);
            self.tell(&Event::ExecExited { exec_id: exec.id, exit_code });
        }
    }

    fn signal_exec(&mut self, at: usize, exec_id: &str, signal: i32) {
        match self.execs.iter().find(|exec| exec.id == exec_id) {
            Some(exec) => drop(exec.process.handle.signal(signal)),
            None => self.refuse(at, exec_id, "no such command runs"),
        }
    }

    fn finish(&mut self, at: usize) {
        if self.containers.iter().any(Container::is_recording) {
            return self.refuse(at, "finish", "the exit of a container is not on disk yet");
        }
        if self.containers.iter().any(Container::is_running) {
            return self.refuse(at, "finish", "a container is still running");
        }
        self.finished = true;
    }

    /// Children that are neither containers nor commands: orphans that came to us as their subreaper.
    fn reap_strangers(&self) {
        let known = |pid: i32| {
            let containers = self.containers.iter().filter_map(|one| one.running.as_ref()).any(|one| one.pid == pid);
            let holder = self.shared.holder.as_ref().is_some_and(|holder| holder.pid == pid);
            let mut probes = self.containers.iter().filter_map(|one| one.probes.as_ref());
            containers
                || holder
                || probes.any(|one| one.is_of(pid))
                || self.execs.iter().any(|exec| exec.process.pid == pid)
        };
        loop {
            // SAFETY: an all-zero siginfo is valid to be filled in.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            // SAFETY: looks at a child that has ended and leaves it; `info` is ours.
            let done = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) };
            // SAFETY: waitid filled in the fields of a child, or left them zero.
            let pid = unsafe { info.si_pid() };
            if done != 0 || pid == 0 || known(pid) {
                return;
            }
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        }
    }

    /// All is over: nothing of the task stays but its exit records and logs.
    fn clean_up(mut self) {
        for exec in self.execs.drain(..) {
            let _ = exec.process.handle.signal(libc::SIGKILL);
        }
        self.shared.holder = None;
        if let Err(error) = self.group.kill_and_wait().and_then(|()| self.group.remove()) {
            note(&cove_base::error::chain(&error));
        }
        let directory = &self.spec.directory;
        for container in &self.containers {
            let bundle = bundle(directory, &container.spec.name);
            container::remove(&bundle, &self.group.container(&container.spec.name));
            // Not recursive: should the root still be mounted, its files are not ours to delete.
            let _ = fs::remove_dir(bundle.join("rootfs"));
            let _ = fs::remove_dir(&bundle);
        }
        if let Some(shm) = &self.shared.shm {
            let _ = nix::mount::umount2(shm, nix::mount::MntFlags::MNT_DETACH);
            let _ = fs::remove_dir(shm);
        }
        for name in [client::SPEC_FILE, client::LOG_FILE, client::SOCKET_FILE] {
            let _ = fs::remove_file(directory.join(name));
        }
        let _ = fs::remove_dir(directory);
    }
}

/// A command, as whom and where; without `cwd` it is the container's.
struct Inside<'a> {
    user: &'a User,
    args: &'a [String],
    env: Vec<String>,
    cwd: Option<&'a str>,
}

struct ExecRequest {
    exec_id: String,
    container: String,
    args: Vec<String>,
    env: Vec<String>,
    user: Option<String>,
    cwd: Option<String>,
}

/// Reaps a child by pidfd; `None` when it has not ended. The status, or 128 + the signal.
pub(super) fn wait(handle: RawFd) -> Option<i32> {
    // SAFETY: an all-zero siginfo is valid to be filled in.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = libc::id_t::try_from(handle).ok()?;
    // SAFETY: `info` is ours; the descriptor is open.
    let done = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED | libc::WNOHANG) };
    if done != 0 {
        // Somebody else reaped it, which nobody should: the status is lost but the end is certain.
        return Some(UNKNOWN_EXIT);
    }
    // SAFETY: waitid filled in the fields of a child that has ended, or left them zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    match (pid, info.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(status),
        (_, _) => Some(128 + status),
    }
}

/// As a shell says for a command that it could not follow.
const UNKNOWN_EXIT: i32 = 255;
