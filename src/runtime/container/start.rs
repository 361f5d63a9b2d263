//! The start itself, step by step, and the way back.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use cove_base::crash::{self, Point};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::notify_socket::{NOTIFY_FILE, NotifySocket};
use libcontainer::syscall::syscall::SyscallType;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::console::Console;
use super::device;
use super::document::{self, INIT_PATH};
use super::executor::RestrictedExecutor;
use crate::capability::{self, Capabilities};
use crate::cgroup::{DeviceProgram, Group, Layout};
use crate::process::{self, PidFd};
use crate::program::{self, Program};
use crate::restriction::Restriction;
use crate::rootfs::{self, User};
use crate::seccomp::Filter;
use crate::spec::ContainerSpec;

/// From the start order to execve: only the file has to be read.
const EXEC_DEADLINE: Duration = Duration::from_secs(60);

/// Where a namespace comes from.
#[derive(Debug, Clone)]
pub enum Namespace {
    Host,
    Private,
    Path(PathBuf),
}

/// Everything about one start.
pub struct Plan<'a> {
    pub spec: &'a ContainerSpec,
    /// A directory of this container alone, below the run directory.
    pub bundle: PathBuf,
    pub task_group: &'a Group,
    pub network: Namespace,
    pub pid: Namespace,
    pub ipc: Namespace,
    /// /dev/shm of a task whose containers share one.
    pub shared_shm: Option<PathBuf>,
    /// The program that is PID 1 when the spec asks for an init.
    pub init_binary: Option<PathBuf>,
}

/// What the container's standard streams are.
pub enum Streams {
    /// Its ends of three pipes.
    Pipes { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
    /// A terminal made for it; the other end is [`Running::keyboard`].
    Terminal,
}

/// A container whose program has begun.
pub struct Running {
    pub pid: i32,
    pub handle: PidFd,
    /// Of its terminal, if it has one: what is written is typed, what it says is read.
    pub keyboard: Option<OwnedFd>,
    /// For later execs.
    pub restriction: Rc<Restriction>,
    pub user: User,
    pub env: Vec<String>,
}

/// Why a container did not start. The text follows `CannotStartContainerError: `.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("unable to start container process: {0}")]
    Program(String),
    #[error("unable to find user {user}")]
    User { user: String, source: rootfs::RootfsError },
    #[error("cannot mount the root filesystem")]
    Root(#[source] rootfs::RootfsError),
    #[error("cannot prepare {}", path.display())]
    Prepare { path: PathBuf, source: io::Error },
    #[error("cannot make the working directory `{cwd}`")]
    WorkingDirectory { cwd: String, source: io::Error },
    #[error("there is no capability `{0}`")]
    Capability(String),
    #[error("capability SYS_PTRACE is refused in a task whose containers share processes")]
    SharedTrace,
    #[error("there is no limit `{0}`")]
    Rlimit(String),
    #[error("error gathering device information while adding custom device \"{}\"", path.display())]
    Device { path: PathBuf, source: io::Error },
    #[error("cannot keep the container to the permissions of its devices")]
    DeviceRules { source: io::Error },
    #[error("an argument or variable holds a zero byte")]
    ZeroByte,
    #[error("runtime create failed: {0}")]
    Create(String),
    #[error("cannot make the container's terminal")]
    Terminal { source: io::Error },
    #[error("the container has no terminal")]
    NoTerminal,
    #[error("cannot make a network with nothing but loopback")]
    Offline { source: crate::network::NetworkError },
    #[error("the container's process is gone")]
    Process(#[source] io::Error),
    #[error("the container's program did not begin within {} s", EXEC_DEADLINE.as_secs())]
    Silent,
}

impl Plan<'_> {
    pub(super) fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }

    pub(super) fn group(&self) -> Group {
        self.task_group.container(&self.spec.name)
    }
}

/// Starts the container and returns once its program has begun.
///
/// # Errors
/// With everything taken back that was made, but the root mount.
pub fn start(plan: &Plan<'_>, streams: Streams) -> Result<Running, StartError> {
    remove(&plan.bundle, &plan.group());
    let result = try_start(plan, streams);
    if result.is_err() {
        remove(&plan.bundle, &plan.group());
    }
    result
}

fn try_start(plan: &Plan<'_>, streams: Streams) -> Result<Running, StartError> {
    let spec = plan.spec;
    let rootfs = plan.rootfs();
    fs::create_dir_all(&rootfs).map_err(|source| StartError::Prepare { path: rootfs.clone(), source })?;
    rootfs::mount(&spec.rootfs, &rootfs).map_err(StartError::Root)?;
    crash::at(Point::ShimRootMounted);
    let user = rootfs::lookup_user(&rootfs, &spec.user)
        .map_err(|source| StartError::User { user: spec.user.clone(), source })?;
    give_streams(&streams, user.uid)
        .map_err(|source| StartError::Prepare { path: PathBuf::from("standard streams"), source })?;
    let cwd = document::cwd(spec);
    super::cwd::ensure(&rootfs, cwd).map_err(|source| StartError::WorkingDirectory { cwd: cwd.to_owned(), source })?;
    let devices = device_program(plan)?;
    let restriction = Rc::new(restriction(plan, devices.is_some())?);
    let env = environment(spec, &user);
    let args = arguments(spec);
    write_document(plan, &document::document(plan, &user, &args, &env)?)?;

    let (errors, errors_write) = pipe().map_err(|source| StartError::Prepare { path: plan.bundle.clone(), source })?;
    let prepare = |args: &[String]| Program::new(args, &env).map(Rc::new).map_err(|_| StartError::ZeroByte);
    let executor = RestrictedExecutor {
        program: prepare(&args)?,
        checked: prepare(&spec.args)?,
        restriction: Rc::clone(&restriction),
        is_root: user.uid == 0,
        errors: errors_write.as_raw_fd(),
    };
    let (pid, keyboard) =
        create(plan, executor, streams, user.uid).map_err(|create| told(&errors).unwrap_or(create))?;
    crash::at(Point::ShimCreated);
    let handle = PidFd::open(pid).map_err(StartError::Process)?;
    let begun = restrict_devices(plan, devices).and_then(|()| begin(plan, &errors, errors_write));
    if let Err(error) = begun {
        let _ = handle.signal(libc::SIGKILL);
        return Err(error);
    }
    crash::at(Point::ShimStarted);
    Ok(Running { pid, handle, keyboard, restriction, user, env })
}

/// A program that is not root opens its streams by name too (`/dev/stdout`), for which the pipes must be its own.
fn give_streams(streams: &Streams, uid: u32) -> io::Result<()> {
    match streams {
        Streams::Terminal => Ok(()),
        Streams::Pipes { stdin, stdout, stderr } => {
            [stdin, stdout, stderr].into_iter().try_for_each(|stream| process::give_pipe(stream.as_fd(), uid))
        }
    }
}

/// libcontainer's part: namespaces, cgroup, mounts, ids, up to the executor's check of the program.
fn create(
    plan: &Plan<'_>,
    executor: RestrictedExecutor,
    streams: Streams,
    uid: u32,
) -> Result<(i32, Option<OwnedFd>), StartError> {
    let terminal = |source| StartError::Terminal { source };
    let failed = |error: libcontainer::error::LibcontainerError| StartError::Create(first_line(&error));
    let score = fs::read_to_string("/proc/self/oom_score_adj");
    let builder = ContainerBuilder::new("c".to_owned(), SyscallType::default())
        .with_executor(executor)
        .with_root_path(plan.bundle.join("state"))
        .map_err(failed)?;
    let (builder, console) = match streams {
        Streams::Pipes { stdin, stdout, stderr } => {
            (builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr), None)
        }
        Streams::Terminal => {
            let console = Console::listen(&plan.bundle).map_err(terminal)?;
            (builder.with_console_socket(Some(console.path())), Some(console))
        }
    };
    let built = builder.as_init(&plan.bundle).with_systemd(false).with_detach(true).build();
    // libcontainer sets the score on us so that the child inherits it.
    if let Ok(score) = score {
        let _ = fs::write("/proc/self/oom_score_adj", score.trim());
    }
    let container = built.map_err(failed)?;
    let pid = container.pid().map(nix::unistd::Pid::as_raw).ok_or(StartError::Create("no process".to_owned()))?;
    let keyboard = console.map(|console| console.take(uid)).transpose().map_err(terminal)?;
    Ok((pid, keyboard))
}

fn begin(plan: &Plan<'_>, errors: &OwnedFd, errors_write: OwnedFd) -> Result<(), StartError> {
    drop(errors_write);
    refuse_tun(plan);
    let mut notify = NotifySocket::new(plan.bundle.join("state").join("c").join(NOTIFY_FILE));
    notify.notify_container_start().map_err(|error| StartError::Create(first_line(&error)))?;
    let mut wait = [PollFd::new(errors.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(EXEC_DEADLINE).unwrap_or(PollTimeout::NONE);
    loop {
        match poll(&mut wait, timeout) {
            Ok(0) => return Err(StartError::Silent),
            Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return told(errors).map_or(Ok(()), Err),
            Err(error) => return Err(StartError::Process(error.into())),
        }
    }
}

/// What the executor wrote before it ended; nothing when exec closed the pipe. Never waits.
fn told(errors: &OwnedFd) -> Option<StartError> {
    nix::fcntl::fcntl(errors.as_raw_fd(), nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).ok()?;
    let mut text = Vec::new();
    let mut file = fs::File::from(errors.try_clone().ok()?);
    let _ = file.read_to_end(&mut text);
    (!text.is_empty()).then(|| StartError::Program(String::from_utf8_lossy(&text).into_owned()))
}

/// libcgroups always allows the tun device on v1; Docker does not.
fn refuse_tun(plan: &Plan<'_>) {
    let asked = plan.spec.devices.iter().any(|device| device.host_path == Path::new("/dev/net/tun"));
    if plan.spec.privileged || asked {
        return;
    }
    let (layout, group) = (plan.task_group.layout(), plan.group());
    if let (Layout::V1(_), Some(directory)) = (layout, layout.controller("devices", group.path())) {
        let _ = fs::write(directory.join("devices.deny"), "c 10:200 rwm");
    }
}

/// On v2 a program of ours keeps a container to its devices. `None` where there is nothing to keep to, or where the
/// kernel takes no such program from us, as inside another container.
fn device_program(plan: &Plan<'_>) -> Result<Option<DeviceProgram>, StartError> {
    if plan.spec.privileged || matches!(plan.task_group.layout(), Layout::V1(_)) {
        return Ok(None);
    }
    let rules = device::rules(plan.spec).map_err(|(path, source)| StartError::Device { path, source })?;
    match DeviceProgram::load(&rules) {
        Ok(program) => Ok(Some(program)),
        Err(source) if plan.spec.devices.iter().any(device::is_partial) => Err(StartError::DeviceRules { source }),
        Err(error) => {
            tracing::debug!(%error, "no device rules on this host");
            Ok(None)
        }
    }
}

/// Before the program of the container begins, and after libcontainer made its group.
fn restrict_devices(plan: &Plan<'_>, program: Option<DeviceProgram>) -> Result<(), StartError> {
    let (Some(program), Layout::V2(root)) = (program, plan.task_group.layout()) else { return Ok(()) };
    let directory = root.join(plan.group().path().trim_start_matches('/'));
    program.attach(&directory).map_err(|source| StartError::DeviceRules { source })
}

/// Where nothing enforces device rules on v2, a container may not make nodes: what is not in its /dev it cannot open.
fn restriction(plan: &Plan<'_>, has_device_rules: bool) -> Result<Restriction, StartError> {
    let spec = plan.spec;
    let held = capability::bounding();
    if spec.privileged {
        return Ok(Restriction { capabilities: held, no_new_privileges: spec.no_new_privileges, filter: None });
    }
    let mut wanted = Capabilities::NONE;
    for name in &spec.capabilities {
        let number = capability::number(name).ok_or_else(|| StartError::Capability(name.clone()))?;
        wanted = Capabilities(wanted.0 | 1 << number);
    }
    if wanted.has(capability::SYS_PTRACE) && matches!(plan.pid, Namespace::Path(_)) {
        return Err(StartError::SharedTrace);
    }
    let mut capabilities = wanted.and(held);
    if matches!(plan.task_group.layout(), Layout::V2(_)) && !has_device_rules {
        capabilities = capabilities.without(capability::MKNOD);
    }
    let filter = Some(Filter::for_capabilities(capabilities));
    Ok(Restriction { capabilities, no_new_privileges: spec.no_new_privileges, filter })
}

/// PATH and HOME are always there: libcontainer would look HOME up through the image's own libraries, with all rights.
fn environment(spec: &ContainerSpec, user: &User) -> Vec<String> {
    let mut env = vec![format!("PATH={}", program::DEFAULT_PATH)];
    env.extend(spec.hostname.as_ref().filter(|name| !name.is_empty()).map(|name| format!("HOSTNAME={name}")));
    env.extend(spec.env.iter().cloned());
    if program::value(&env, "HOME").is_none_or(str::is_empty) {
        env.push(format!("HOME={}", if user.home.is_empty() { "/" } else { &user.home }));
    }
    program::deduplicated(env)
}

fn arguments(spec: &ContainerSpec) -> Vec<String> {
    let init = [INIT_PATH, "init"].map(ToOwned::to_owned);
    let before: &[String] = if spec.init { &init } else { &[] };
    before.iter().chain(&spec.args).cloned().collect()
}

fn write_document(plan: &Plan<'_>, document: &serde_json::Value) -> Result<(), StartError> {
    let path = plan.bundle.join("config.json");
    fs::write(&path, document.to_string()).map_err(|source| StartError::Prepare { path, source })
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

/// libcontainer's errors may carry a backtrace after the first line.
fn first_line(error: &dyn std::error::Error) -> String {
    cove_base::error::chain(error).lines().next().unwrap_or_default().to_owned()
}

/// Takes away what a container or a failed start left: processes, cgroup, state, root mount. Repeatable.
pub fn remove(bundle: &Path, group: &Group) {
    if group.exists()
        && let Err(error) = group.kill_and_wait().and_then(|()| group.remove())
    {
        tracing::warn!(error = cove_base::error::chain(&error), "container group not removed");
    }
    let _ = fs::remove_dir_all(bundle.join("state"));
    let _ = fs::remove_file(bundle.join("config.json"));
    super::console::remove(bundle);
    let rootfs = bundle.join("rootfs");
    while nix::mount::umount2(&rootfs, nix::mount::MntFlags::MNT_DETACH | nix::mount::MntFlags::UMOUNT_NOFOLLOW).is_ok()
    {
    }
}
