//! Turns a task and its images into the documents that a shim carries out.
//!
//! In: task, definition, the image's own defaults, what the host allows. Out: a [`ContainerSpec`] and the small files and
//! directories that it mounts. No clock, no store, no I/O.
//!
//! Holds: an override beats the definition, the definition beats the image; nothing a definition says can name a file
//! outside what it is allowed to (host paths are refused for callers without that right when the task is made, not here).

mod command;
mod env;
mod files;
mod health;
mod limits;
mod log_size;
mod mounts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cove_model::task::{Container, LaunchType, Task, TaskNetwork};
use cove_model::task_definition::{ContainerDefinition, IpcMode, PidMode, TaskDefinitionDocument};
use cove_model::task_override::ContainerOverride;
use cove_runtime::rootfs::Fill;
use cove_runtime::spec::{ContainerSpec, LogTarget, RootFilesystem, SharedNamespace};

pub(crate) use limits::task_limits;

/// How long a container may take to stop when neither definition nor image says so: ECS's default.
const STOP_TIMEOUT_DEFAULT_SECS: u32 = 30;

/// What an image says about how to run it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageDefaults {
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub user: String,
    pub working_dir: String,
    pub stop_signal: Option<String>,
    /// What runs scripts of health checks; `/bin/sh -c` when it names none.
    pub shell: Vec<String>,
    /// Paths that get a volume of their own unless something is mounted there.
    pub volumes: Vec<String>,
}

/// What the host allows and offers.
#[derive(Debug, Clone)]
pub struct HostLimits {
    pub cores: u32,
    /// Our own hard limit of open files: no container can have more.
    pub nofile_hard: u64,
    pub hostname: String,
}

/// How a container reaches Cove's own AWS API.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Whether `AWS_ENDPOINT_URL` is set in containers that do not set it.
    pub inject: bool,
    /// The address for tasks in host mode, as in `http://127.0.0.1:4566`.
    pub host_mode_url: String,
}

/// Where a task in host mode asks about itself, and what it proves itself with. No `Debug`: both are secrets.
#[derive(Clone)]
pub struct HostModeAccess {
    /// As in `http://127.0.0.1:4566/_cove/task/ID/SECRET`.
    pub url: String,
    pub token: String,
}

/// Everything about a task that its containers share.
pub(crate) struct Surroundings<'a> {
    pub task: &'a Task,
    pub document: &'a TaskDefinitionDocument,
    /// `DATA_DIR/volumes/ID`.
    pub volumes: &'a Path,
    /// `DATA_DIR/shared-volumes/TENANT`.
    pub shared_volumes: &'a Path,
    /// What each container's image declares as volumes, by the container's name.
    pub image_volumes: &'a BTreeMap<String, Vec<String>>,
    /// `DATA_DIR/logs`.
    pub logs: &'a Path,
    pub log_max_bytes: u64,
    pub endpoint: &'a Endpoint,
    /// `None` in every other mode, and where no listener is on loopback.
    pub host_mode: Option<&'a HostModeAccess>,
    pub host: &'a HostLimits,
    /// The host's own as it is now, for tasks without a router: hosts change networks.
    pub resolv_conf: &'a str,
}

/// A container ready to be handed over.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub spec: ContainerSpec,
    /// Files to write before it starts, with their content.
    pub files: Vec<(PathBuf, String)>,
    /// Directories to make before it starts.
    pub directories: Vec<PathBuf>,
    /// Directories among them that begin with what the image holds.
    pub fills: Vec<Fill>,
}

/// A container that cannot be made as it is described.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("no command specified")]
    NoCommand,
    #[error("invalid stop signal: {0}")]
    StopSignal(String),
    #[error("volume `{0}` is not among the task definition's volumes")]
    UnknownVolume(String),
    #[error("volumes of `{0}` were asked for, but there is no such container")]
    UnknownSource(String),
    #[error("mount path must be absolute: `{0}`")]
    RelativePath(String),
    #[error("the image declares {got} volumes, more than {limit}")]
    ImageVolumes { limit: usize, got: usize },
    #[error("unknown capability: `{0}`")]
    Capability(String),
    #[error("failed to initialize logging driver: {0}")]
    Log(String),
}

/// Resolves one container.
pub(crate) fn container(
    around: &Surroundings<'_>,
    definition: &ContainerDefinition,
    container: &Container,
    image: &ImageDefaults,
    rootfs: RootFilesystem,
) -> Result<Resolved, ResolveError> {
    let given = override_of(around.task, &container.name);
    let log_limit = log_size::limit(definition).map_err(ResolveError::Log)?;
    let log_max_bytes = log_limit.map_or(around.log_max_bytes, |limit| limit.min(around.log_max_bytes));
    let hostname = files::hostname(around, definition, container);
    let mut mounts = mounts::binds(around, definition)?;
    let files = files::identity(around, definition, &rootfs.beside("f"), hostname.as_deref());
    mounts.binds.extend(files.binds);
    let linux = definition.linux_parameters.clone().unwrap_or_default();
    let privileged = definition.privileged.unwrap_or(false);
    let spec = ContainerSpec {
        name: container.name.clone(),
        attempt: container.seen.attempt,
        args: command::args(definition, given, image)?,
        env: env::merge(around, definition, given, container, image, hostname.as_deref()),
        cwd: first_given([definition.working_directory.as_deref(), Some(&image.working_dir)]).unwrap_or("/").to_owned(),
        user: first_given([definition.user.as_deref(), Some(&image.user)]).unwrap_or_default().to_owned(),
        hostname,
        rootfs,
        read_only_root: definition.readonly_root_filesystem.unwrap_or(false),
        mounts: mounts.binds,
        tmpfs: mounts::tmpfs(&linux)?,
        shm_bytes: limits::shm_bytes(&linux),
        capabilities: limits::capabilities(&linux, privileged)?,
        privileged,
        no_new_privileges: definition.docker_security_options.iter().any(|option| is_no_new_privileges(option)),
        devices: mounts::devices(&linux),
        sysctls: definition
            .system_controls
            .iter()
            .filter_map(|control| Some((control.namespace.clone()?, control.value.clone()?)))
            .collect(),
        rlimits: limits::rlimits(definition, around.task.placement.launch_type, around.host.nofile_hard),
        resources: limits::resources(definition, given, &linux),
        init: linux.init_process_enabled.unwrap_or(false),
        log: container.log.as_ref().map(|log| LogTarget {
            directory: around.logs.join(&log.directory),
            max_bytes: log_max_bytes,
            event_start: event_start(definition),
        }),
        stdin_open: definition.interactive.unwrap_or(false),
        stop_signal: command::stop_signal(image.stop_signal.as_deref())?,
        stop_timeout_secs: stop_timeout_secs(definition),
        health: health::check(definition, &image.shell),
        terminal: definition.pseudo_terminal == Some(true),
        offline: definition.disable_networking == Some(true),
    };
    Ok(Resolved { spec, files: files.contents, directories: mounts.directories, fills: mounts.fills })
}

/// How long the container may take to stop.
pub(crate) fn stop_timeout_secs(definition: &ContainerDefinition) -> u32 {
    let given = definition.stop_timeout.and_then(|secs| u32::try_from(secs).ok());
    given.unwrap_or(STOP_TIMEOUT_DEFAULT_SECS)
}

/// Where events of several lines begin in what the container writes.
pub(crate) fn event_start(definition: &ContainerDefinition) -> Option<String> {
    let options = &definition.log_configuration.as_ref()?.options;
    let given = |name: &str| options.get(name).filter(|text| !text.is_empty());
    let format = given("awslogs-datetime-format").map(|format| cove_logs::datetime_pattern(format));
    format.or_else(|| given("awslogs-multiline-pattern").cloned())
}

/// How the containers of a task share their pid namespaces.
pub(crate) fn pid_sharing(document: &TaskDefinitionDocument) -> SharedNamespace {
    match document.pid_mode {
        None => SharedNamespace::Private,
        Some(PidMode::Task) => SharedNamespace::Task,
        Some(PidMode::Host) => SharedNamespace::Host,
    }
}

/// How the containers of a task share their ipc namespaces.
pub(crate) fn ipc_sharing(document: &TaskDefinitionDocument) -> SharedNamespace {
    match document.ipc_mode {
        None | Some(IpcMode::None) => SharedNamespace::Private,
        Some(IpcMode::Task) => SharedNamespace::Task,
        Some(IpcMode::Host) => SharedNamespace::Host,
    }
}

/// What RunTask said differently about a container.
pub(crate) fn override_of<'a>(task: &'a Task, name: &str) -> Option<&'a ContainerOverride> {
    task.overrides.container_overrides.iter().find(|given| given.name.as_deref() == Some(name))
}

/// The first that is there and not empty.
fn first_given<const N: usize>(choices: [Option<&str>; N]) -> Option<&str> {
    choices.into_iter().flatten().find(|text| !text.is_empty())
}

fn is_no_new_privileges(option: &str) -> bool {
    matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
}

/// Whether the task reaches 169.254.170.2: those with a router of ours in front of them.
pub(crate) fn has_router(network: &TaskNetwork) -> bool {
    match network {
        TaskNetwork::Bridge { .. } | TaskNetwork::Awsvpc(_) => true,
        TaskNetwork::None | TaskNetwork::Host => false,
    }
}

/// `AWS_EXECUTION_ENV` of a launch type.
pub(crate) fn execution_env(launch_type: LaunchType) -> &'static str {
    match launch_type {
        LaunchType::Fargate => "AWS_ECS_FARGATE",
        LaunchType::Ec2 | LaunchType::ManagedInstances => "AWS_ECS_EC2",
        LaunchType::External => "AWS_ECS_EXTERNAL",
    }
}

#[cfg(test)]
pub(crate) mod tests;
